//! The pool: as few tunnels as the streams need, never a dead one, never one that must not be shared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/net.rs"]
mod net;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::pool::Counts;
use ambit_hbone::{Buffered, ConnectError, Connector, H2Error, Key, OpenError, Pool, PoolSettings, Stream};
use ambit_model::Identity;
use ambit_transport::Mode;
use http::StatusCode;
use net::{Net, Next, key};
use raw::{HEADERS, goaway, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tunnel::{exchange, request};

async fn open(pool: &Pool<Net>, key: &Key) -> Stream {
    pool.open(key, request()).await.unwrap().0
}

/// Waits for the books to become what they must.
async fn settled(pool: &Pool<Net>, expected: impl Fn(Counts) -> bool) -> Counts {
    for _ in 0..10_000 {
        let counts = pool.counts();
        if expected(counts) {
            return counts;
        }
        tokio::task::yield_now().await;
    }
    panic!("still {:?}", pool.counts());
}

async fn open_many(pool: &Arc<Pool<Net>>, key: &Key, many: usize) -> JoinSet<Result<Stream, OpenError>> {
    let mut opening = JoinSet::new();
    for _ in 0..many {
        let (pool, key) = (Arc::clone(pool), key.clone());
        opening.spawn(async move { pool.open(&key, request()).await.map(|(stream, _)| stream) });
    }
    settled(pool, |counts| counts.waiting == many).await;
    opening
}

async fn one_tunnel_serves_one_key() {
    let net = Net::new();
    let pool = net.pool();
    let streams = [open(&pool, &key("a")).await, open(&pool, &key("a")).await];
    for stream in streams {
        assert_eq!(exchange(stream, b"hello").await, b"hello");
    }
    assert_eq!(exchange(open(&pool, &key("a")).await, b"again").await, b"again");
    assert_eq!(net.dials(), 1);
    assert_eq!(pool.counts(), Counts { connections: 1, ..Counts::default() });
}

async fn nothing_else_shares_it() {
    let net = Net::new();
    let pool = net.pool();
    let identity = |account| Identity::new("cluster.local", "default", account).unwrap();
    let sans = |name: &str| -> Arc<[ambit_model::Text]> { Arc::new([name.into()]) };
    let destination = |text: &str| text.parse().unwrap();
    let keys = [
        Key::new(identity("client"), "a".into(), destination("10.0.0.2:15008"), sans("x")),
        Key::new(identity("client"), "b".into(), destination("10.0.0.2:15008"), sans("x")),
        Key::new(identity("other"), "a".into(), destination("10.0.0.2:15008"), sans("x")),
        Key::new(identity("client"), "a".into(), destination("10.0.0.3:15008"), sans("x")),
        Key::new(identity("client"), "a".into(), destination("10.0.0.2:15008"), sans("y")),
        Key::new(identity("client"), "a".into(), destination("10.0.0.2:15008"), Arc::new([])),
    ];
    for key in &keys {
        drop(open(&pool, key).await);
    }
    assert_eq!(net.dials(), keys.len());
    // An equal key made anew finds the same tunnel.
    let again = Key::new(identity("client"), "a".into(), destination("10.0.0.2:15008"), sans("x"));
    drop(open(&pool, &again).await);
    assert_eq!(net.dials(), keys.len());
}

async fn a_full_tunnel_is_joined_by_another_and_comes_back() {
    let net = Net::new();
    net.state.lock().unwrap().most_streams = 2;
    let pool = net.pool();
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(open(&pool, &key("a")).await);
    }
    assert_eq!(net.dials(), 3);
    assert_eq!(pool.counts(), Counts { connections: 3, streams: 5, ..Counts::default() });
    for stream in streams {
        assert_eq!(exchange(stream, b"x").await, b"x");
    }
    settled(&pool, |counts| counts.streams == 0).await;
    drop(open(&pool, &key("a")).await);
    assert_eq!(net.dials(), 3, "a tunnel that was full is used again");
}

async fn a_burst_makes_as_few_tunnels_as_it_needs() {
    let net = Net::gated();
    let pool = Arc::new(net.pool());
    let opening = open_many(&pool, &key("a"), 200).await;
    settled(&pool, |counts| counts.dialing == 2).await;
    net.gate.close();
    let streams: Vec<_> = opening.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(streams.len(), 200);
    assert_eq!(net.dials(), 2);
    assert_eq!(pool.counts(), Counts { connections: 2, streams: 200, ..Counts::default() });
}

async fn a_burst_adapts_to_a_peer_that_allows_fewer_streams() {
    let net = Net::gated();
    net.state.lock().unwrap().most_streams = 10;
    let pool = Arc::new(net.pool());
    let opening = open_many(&pool, &key("a"), 95).await;
    net.gate.close();
    let streams: Vec<_> = opening.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(streams.len(), 95);
    assert_eq!(net.dials(), 10);
}

async fn a_dial_does_not_hold_up_other_keys() {
    let net = Net::gated();
    let pool = Arc::new(net.pool());
    let mut slow = open_many(&pool, &key("slow"), 1).await;
    settled(&pool, |counts| counts.dialing == 1).await;
    let other = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { open(&pool, &key("quick")).await })
    };
    settled(&pool, |counts| counts.dialing == 2).await;
    net.gate.close();
    drop(other.await.unwrap());
    slow.join_next().await.unwrap().unwrap().unwrap();
}

async fn those_who_wait_for_a_failed_dial_fail_with_it() {
    let net = Net::gated();
    net.plan(Next::Refused);
    let pool = Arc::new(net.pool());
    let opening = open_many(&pool, &key("a"), 50).await;
    net.gate.close();
    for failed in opening.join_all().await {
        let error = failed.unwrap_err();
        assert!(matches!(error, OpenError::Connect(ConnectError::Dial(_))), "{error}");
    }
    assert_eq!(net.dials(), 1, "no retry storm");
    assert_eq!(pool.counts(), Counts::default());
    drop(open(&pool, &key("a")).await);
    assert_eq!(net.dials(), 2, "the next one tries anew");
}

async fn one_failed_dial_of_two_fails_only_those_without_hope() {
    let net = Net::gated();
    net.plan(Next::Refused);
    let pool = Arc::new(net.pool());
    let opening = open_many(&pool, &key("a"), 150).await;
    settled(&pool, |counts| counts.dialing == 2).await;
    net.gate.close();
    let (ok, failed): (Vec<_>, Vec<_>) = opening.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!((ok.len(), failed.len(), net.dials()), (100, 50, 2));
}

async fn a_peer_without_http2_fails_those_who_wait() {
    let net = Net::new();
    let pool = net.pool();
    let raw = net.plan_raw();
    let error = pool.open(&key("a"), request()).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect(ConnectError::Http2(H2Error::TimedOut(_)))), "{error}");
    drop(raw);
    let mut raw = net.plan_raw();
    let none = async { raw.open_as_server(&[(3, 0)]).await };
    let (key, open) = (key("a"), request());
    let (opened, ()) = tokio::join!(pool.open(&key, open), none);
    assert!(
        matches!(opened, Err(OpenError::Connect(ConnectError::Http2(H2Error::NoStreams)))),
        "a peer that allows no streams must not be dialled for ever: {opened:?}"
    );
    assert_eq!(net.dials(), 2);
}

async fn who_gives_up_leaves_no_trace() {
    let net = Net::gated();
    let pool = Arc::new(net.pool());
    let mut opening = open_many(&pool, &key("a"), 20).await;
    opening.shutdown().await;
    net.gate.close();
    let counts = settled(&pool, |counts| counts.waiting == 0 && counts.dialing == 0).await;
    assert_eq!((counts.connections, counts.streams), (1, 0), "the tunnel that came is kept for the next");
    drop(open(&pool, &key("a")).await);
    assert_eq!(net.dials(), 1);
}

async fn f10_goaway_sends_new_streams_to_a_new_tunnel() {
    let net = Net::new();
    let pool = net.pool();
    let old = open(&pool, &key("a")).await;
    net.drain_server(0, Mode::Graceful);
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..20 {
        // At whatever moment the GOAWAY arrives, nobody notices.
        assert_eq!(exchange(open(&pool, &key("a")).await, b"new").await, b"new");
    }
    assert_eq!(net.dials(), 2);
    assert_eq!(exchange(old, b"old goes on").await, b"old goes on");
    settled(&pool, |counts| counts.draining == 0 && counts.connections == 1).await;
}

async fn f9_a_dead_tunnel_is_replaced_without_an_error() {
    // The peer takes the request and dies, closes before it, refuses the stream, or goes away above it.
    type Death = fn(u32) -> Option<Vec<u8>>;
    let deaths: [(&str, Death); 3] = [
        ("closed", |_| None),
        ("REFUSED_STREAM", |stream| Some(reset(stream, 7))),
        ("GOAWAY below", |stream| Some(goaway(stream - 2, 0))),
    ];
    for (name, death) in deaths {
        let net = Net::new();
        let pool = net.pool();
        let mut raw = net.plan_raw();
        let first = async {
            raw.open_as_server(&[]).await;
            raw.next_of(HEADERS).await;
            raw.send(&raw::frame(HEADERS, raw::END_HEADERS, 1, &[0x88])).await;
        };
        let key = key("a");
        let (opened, ()) = tokio::join!(pool.open(&key, request()), first);
        let warm = opened.unwrap().0;

        let dying = async {
            let asked = raw.next_of(HEADERS).await;
            match death(asked.stream) {
                Some(bytes) => raw.send(&bytes).await,
                None => drop(raw),
            }
        };
        let (opened, ()) = tokio::join!(pool.open(&key, request()), dying);
        let (stream, _) = opened.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(exchange(stream, b"fresh").await, b"fresh", "{name}");
        assert_eq!(net.dials(), 2, "{name}");
        drop(warm);
    }
}

async fn f9_a_burst_on_dead_tunnels_makes_one_fresh_one() {
    let net = Net::new();
    let pool = Arc::new(net.pool());
    let mut raw = net.plan_raw();
    let key = key("a");
    let first = async {
        raw.open_as_server(&[]).await;
        let asked = raw.next_of(HEADERS).await;
        raw.send(&raw::frame(HEADERS, raw::END_HEADERS, asked.stream, &[0x88])).await;
    };
    let (opened, ()) = tokio::join!(pool.open(&key, request()), first);
    let warm = opened.unwrap().0;
    let mut opening = JoinSet::new();
    for _ in 0..50 {
        let (pool, key) = (Arc::clone(&pool), key.clone());
        opening.spawn(async move { pool.open(&key, request()).await.map(|(stream, _)| stream) });
    }
    for _ in 0..50 {
        raw.next_of(HEADERS).await;
    }
    drop(raw);
    for opened in opening.join_all().await {
        assert_eq!(exchange(opened.unwrap(), b"x").await, b"x");
    }
    assert_eq!(net.dials(), 2);
    drop(warm);
}

async fn there_is_one_retry_and_none_after_an_answer() {
    let net = Net::new();
    let pool = net.pool();
    let (mut first, mut second) = (net.plan_raw(), net.plan_raw());
    let refusing = async {
        for raw in [&mut first, &mut second] {
            raw.open_as_server(&[]).await;
            let asked = raw.next_of(HEADERS).await;
            raw.send(&reset(asked.stream, 7)).await;
        }
    };
    let key = key("a");
    let (opened, ()) = tokio::join!(pool.open(&key, request()), refusing);
    assert!(matches!(opened, Err(OpenError::NotProcessed(_))), "{opened:?}");
    assert_eq!(net.dials(), 2);

    let mut third = net.plan_raw();
    let denying = async {
        third.open_as_server(&[]).await;
        let asked = third.next_of(HEADERS).await;
        // ":status: 401" as a literal with the name of entry 8 (RFC 7541 section 6.2.2).
        let denied = [&[0x08, 3][..], b"401"].concat();
        third.send(&raw::frame(HEADERS, raw::END_HEADERS | raw::END_STREAM, asked.stream, &denied)).await;
    };
    let other = self::key("b");
    let (opened, ()) = tokio::join!(pool.open(&other, request()), denying);
    let refused = StatusCode::UNAUTHORIZED.as_u16();
    assert!(matches!(opened, Err(OpenError::Refused { status, .. }) if status == refused), "{opened:?}");
    assert_eq!(net.dials(), 3);
}

async fn an_unused_tunnel_is_let_go() {
    let net = Net::new();
    let pool = net.pool();
    let (a, b) = (key("a"), key("b"));
    drop(open(&pool, &a).await);
    let kept = open(&pool, &b).await;
    settled(&pool, |counts| counts.streams == 1).await;
    let started = Instant::now();
    // Use starts the clock anew.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(exchange(open(&pool, &a).await, b"x").await, b"x");
    tokio::time::sleep(Duration::from_secs(89)).await;
    assert_eq!(pool.counts().connections, 2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let counts = settled(&pool, |counts| counts.draining == 0).await;
    assert_eq!((counts.connections, counts.streams), (1, 1), "a stream keeps its tunnel");
    assert_eq!(net.dials(), 2);
    // Its peer has been told, and is done.
    let (drain, serving) = net.state.lock().unwrap().servers.remove(0);
    assert_eq!(serving.await.unwrap().unwrap().requests, 2);
    drop(drain);
    drop(kept);
    tokio::time::sleep(Duration::from_secs(91)).await;
    settled(&pool, |counts| counts == Counts::default()).await;
    assert!(started.elapsed() < Duration::from_secs(300));
    // And then it starts over.
    drop(open(&pool, &a).await);
    tokio::time::sleep(Duration::from_secs(91)).await;
    settled(&pool, |counts| counts == Counts::default()).await;
    assert_eq!(net.dials(), 3);
}

async fn f4_rotation_moves_new_streams_and_keeps_old_ones() {
    let net = Net::new();
    let pool = net.pool();
    let old = open(&pool, &key("a")).await;
    let other = open(&pool, &key("b")).await;
    pool.drain(|key| key.pod().as_ref() == "a");
    assert_eq!(pool.counts(), Counts { connections: 1, draining: 1, streams: 2, ..Counts::default() });
    let new = open(&pool, &key("a")).await;
    assert_eq!(net.dials(), 3);
    assert_eq!(exchange(old, b"old").await, b"old");
    settled(&pool, |counts| counts.draining == 0).await;
    assert_eq!(exchange(new, b"new").await, b"new");
    assert_eq!(exchange(other, b"other").await, b"other");
    drop(open(&pool, &key("b")).await);
    assert_eq!(net.dials(), 3);
}

async fn f4_who_waits_over_a_rotation_is_served_and_the_next_get_a_newer_tunnel() {
    let net = Net::gated();
    let pool = Arc::new(net.pool());
    let early = open_many(&pool, &key("a"), 3).await;
    settled(&pool, |counts| counts.dialing == 1).await;
    pool.drain(|_| true);
    let late = {
        let (pool, key) = (Arc::clone(&pool), key("a"));
        tokio::spawn(async move { open(&pool, &key).await })
    };
    settled(&pool, |counts| counts.dialing == 2).await;
    net.gate.close();
    for stream in early.join_all().await {
        assert_eq!(exchange(stream.unwrap(), b"early").await, b"early");
    }
    assert_eq!(exchange(late.await.unwrap(), b"late").await, b"late");
    let counts = settled(&pool, |counts| counts.draining == 0).await;
    assert_eq!((counts.connections, net.dials()), (1, 2));
}

async fn a_deleted_pod_loses_its_tunnels_at_once() {
    let net = Net::new();
    let pool = net.pool();
    let mut gone = open(&pool, &key("gone")).await;
    let stays = open(&pool, &key("stays")).await;
    pool.retain(|key| key.pod().as_ref() != "gone");
    assert!(gone.read(&mut [0; 1]).await.is_err());
    assert!(gone.write_all(b"x").await.is_err());
    drop(gone);
    settled(&pool, |counts| counts == Counts { connections: 1, streams: 1, ..Counts::default() }).await;
    assert_eq!(exchange(stays, b"stays").await, b"stays");
}

async fn a_closed_key_fails_who_waits() {
    let net = Net::gated();
    let pool = Arc::new(net.pool());
    let opening = open_many(&pool, &key("a"), 3).await;
    settled(&pool, |counts| counts.dialing == 1).await;
    pool.close(|_| true);
    for opened in opening.join_all().await {
        assert!(matches!(opened, Err(OpenError::Closed)), "{opened:?}");
    }
    assert_eq!(pool.counts(), Counts::default());
    net.gate.close();
    drop(open(&pool, &key("a")).await);
}

async fn a_dropped_pool_cuts_everything() {
    let net = Net::new();
    let pool = net.pool();
    let mut stream = open(&pool, &key("a")).await;
    drop(pool);
    assert!(stream.read(&mut [0; 1]).await.is_err());
    let (_drain, serving) = net.state.lock().unwrap().servers.remove(0);
    serving.await.unwrap().unwrap();
}

async fn a_connector_that_panics_fails_who_waits() {
    struct Broken;
    impl Connector for Broken {
        type Io = Buffered<DuplexStream>;
        async fn connect(&self, _: &Key) -> Result<Buffered<DuplexStream>, ConnectError> {
            panic!("a bug in the connector (this test wants it)")
        }
    }
    let pool = Pool::new(Broken, PoolSettings::default());
    let error = pool.open(&key("a"), request()).await.unwrap_err();
    assert!(matches!(error, OpenError::Connect(ConnectError::Abandoned)), "{error}");
}

#[test]
fn the_pool_and_what_it_gives_may_move_between_threads() {
    fn is_send<T: Send>() {}
    fn is_sync<T: Sync>() {}
    is_send::<Pool<Net>>();
    is_sync::<Pool<Net>>();
    is_send::<Stream>();
    // Dropped unpolled: only its type counts.
    fn future_is_send<T: Send>(_: T) {}
    let (pool, key) = (Net::new().pool(), key("a"));
    future_is_send(pool.open(&key, request()));
}

#[test]
fn what_each_carried_connection_costs_stays_small() {
    let (pool, key) = (Net::new().pool(), key("a"));
    let opening = size_of_val(&pool.open(&key, request()));
    assert!(opening <= 1200, "opening a stream takes {opening} bytes");
    let stream = size_of::<Stream>();
    assert!(stream <= 128, "a stream takes {stream} bytes");
}

tunnel::pairings! {
    one_tunnel_serves_one_key,
    nothing_else_shares_it,
    a_full_tunnel_is_joined_by_another_and_comes_back,
    a_burst_makes_as_few_tunnels_as_it_needs,
    a_burst_adapts_to_a_peer_that_allows_fewer_streams,
    a_dial_does_not_hold_up_other_keys,
    those_who_wait_for_a_failed_dial_fail_with_it,
    one_failed_dial_of_two_fails_only_those_without_hope,
    who_gives_up_leaves_no_trace,
    f9_a_dead_tunnel_is_replaced_without_an_error,
    f9_a_burst_on_dead_tunnels_makes_one_fresh_one,
    there_is_one_retry_and_none_after_an_answer,
    f4_rotation_moves_new_streams_and_keeps_old_ones,
    f4_who_waits_over_a_rotation_is_served_and_the_next_get_a_newer_tunnel,
    a_deleted_pod_loses_its_tunnels_at_once,
    a_closed_key_fails_who_waits,
    a_dropped_pool_cuts_everything,
    a_connector_that_panics_fails_who_waits,
}

tunnel::pairings_in_paused_time! {
    a_peer_without_http2_fails_those_who_wait,
    an_unused_tunnel_is_let_go,
    f10_goaway_sends_new_streams_to_a_new_tunnel,
}
