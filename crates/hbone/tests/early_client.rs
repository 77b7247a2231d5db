//! First bytes before the answer, from the dialling side: sent only to who asks for them, and never lost or doubled.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/net.rs"]
mod net;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{ClientSettings, Connection, Engine, OpenError, Opened, Pool, PoolSettings};
use ambit_transport::Ahead;
use net::{Net, key};
use raw::{DATA, END_STREAM, Frame, HEADERS, PING, RST_STREAM, Raw, frame, goaway, headers, reset};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;
use tunnel::{PIPE, client, request};

/// Our setting, as the documents have it.
const EARLY: (u16, u32) = (0xf0b1, 1);

type Opening = JoinHandle<(Result<Opened, OpenError>, Ahead<DuplexStream>)>;

fn settings() -> ClientSettings {
    ClientSettings { early_bytes: true, ..ClientSettings::default() }
}

/// A client of a server that is spoken by hand and has said this.
async fn dial(settings: ClientSettings, entries: &[(u16, u32)]) -> (Arc<Connection>, Raw) {
    let (ours, io) = duplex(PIPE);
    let mut raw = Raw { io };
    let (client, ()) = tokio::join!(client(ours, settings), raw.open_as_server(entries));
    (Arc::new(client.connection), raw)
}

/// Opens a stream for an application that says this, and perhaps ends.
async fn open(connection: &Arc<Connection>, says: &[u8], ends: bool) -> (Opening, DuplexStream) {
    let (mut application, far) = duplex(PIPE);
    application.write_all(says).await.unwrap();
    if ends {
        application.shutdown().await.unwrap();
    }
    let connection = Arc::clone(connection);
    let opening = tokio::spawn(async move {
        let mut ahead = Ahead::new(far);
        (connection.open_for(request(), &mut ahead).await, ahead)
    });
    (opening, application)
}

/// What is sent until an answer to PING: everything that is sent without another word of ours.
async fn until_pong(raw: &mut Raw) -> Vec<Frame> {
    raw.send(&frame(PING, 0, 0, b"anything")).await;
    let mut frames = Vec::new();
    loop {
        let next = raw.next().await.expect("the connection ended");
        if next.kind == PING {
            return frames;
        }
        frames.push(next);
    }
}

fn data(frames: &[Frame], stream: u32) -> Vec<u8> {
    let of_stream = frames.iter().filter(|frame| frame.kind == DATA && frame.stream == stream);
    of_stream.flat_map(|frame| frame.payload.clone()).collect()
}

fn ok(stream: u32) -> Vec<u8> {
    headers(stream, 0, &[(":status", "200")])
}

async fn answer(raw: &mut Raw, opening: Opening, stream: u32) -> (Opened, Ahead<DuplexStream>) {
    raw.send(&ok(stream)).await;
    let (opened, ahead) = opening.await.unwrap();
    (opened.unwrap(), ahead)
}

#[tokio::test(start_paused = true)]
async fn they_go_with_the_connect_to_who_asks_for_them() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    let (opening, mut application) = open(&connection, b"ping", false).await;
    raw.next_of(HEADERS).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"ping");
    application.write_all(b" and more").await.unwrap();
    assert_eq!(raw.next_of(DATA).await.payload, b" and more");
    let (opened, ahead) = answer(&mut raw, opening, 1).await;
    assert_eq!((opened.early, ahead.held()), (13, &b""[..]));
}

#[tokio::test(start_paused = true)]
async fn they_wait_for_the_answer_of_who_does_not_ask() {
    let library = ClientSettings { engine: Engine::Library, ..settings() };
    let cases: [(ClientSettings, &[(u16, u32)]); 5] = [
        (settings(), &[]),
        (settings(), &[(EARLY.0, 0)]),
        (settings(), &[(EARLY.0, 2)]),
        (ClientSettings::default(), &[EARLY]),
        (library, &[EARLY]),
    ];
    for (settings, entries) in cases {
        let (connection, mut raw) = dial(settings, entries).await;
        let (opening, _application) = open(&connection, b"ping", true).await;
        raw.next_of(HEADERS).await;
        assert_eq!(data(&until_pong(&mut raw).await, 1), b"", "{entries:?}");
        let (opened, mut ahead) = answer(&mut raw, opening, 1).await;
        assert_eq!((opened.early, ahead.held()), (0, &b""[..]));
        let mut said = Vec::new();
        ahead.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"ping");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_may_take_its_word_back() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    raw.send(&raw::settings(&[(EARLY.0, 0)])).await;
    until_pong(&mut raw).await;
    let (_opening, _application) = open(&connection, b"ping", false).await;
    raw.next_of(HEADERS).await;
    assert_eq!(data(&until_pong(&mut raw).await, 1), b"");
}

#[tokio::test(start_paused = true)]
async fn one_read_of_them_goes_ahead_and_the_rest_follows_in_order() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    let says: Vec<u8> = (0..40_000u32).map(|index| (index % 251) as u8).collect();
    let (opening, _application) = open(&connection, &says, false).await;
    raw.next_of(HEADERS).await;
    let mut early = until_pong(&mut raw).await;
    early.extend(until_pong(&mut raw).await);
    assert!(data(&early, 1) == says[..16 * 1024]);
    let (opened, mut ahead) = answer(&mut raw, opening, 1).await;
    assert_eq!(opened.early, 16 * 1024);
    let mut rest = vec![0; says.len() - 16 * 1024];
    ahead.read_exact(&mut rest).await.unwrap();
    assert!(rest == says[16 * 1024..]);
}

#[tokio::test(start_paused = true)]
async fn they_keep_to_the_window_while_they_wait() {
    let (connection, mut raw) = dial(settings(), &[EARLY, (4, 10)]).await;
    let (opening, _application) = open(&connection, b"0123456789abcdef", false).await;
    raw.next_of(HEADERS).await;
    assert_eq!(data(&until_pong(&mut raw).await, 1), b"0123456789");
    raw.send(&frame(raw::WINDOW_UPDATE, 0, 1, &4u32.to_be_bytes())).await;
    let mut more = until_pong(&mut raw).await;
    more.extend(until_pong(&mut raw).await);
    assert_eq!(data(&more, 1), b"abcd");
    let (opened, ahead) = answer(&mut raw, opening, 1).await;
    assert_eq!((opened.early, ahead.held()), (14, &b"ef"[..]), "what the window kept is not lost");
}

#[tokio::test(start_paused = true)]
async fn an_end_goes_ahead_too_and_only_once() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    let (opening, _application) = open(&connection, b"all", true).await;
    raw.next_of(HEADERS).await;
    let early = until_pong(&mut raw).await;
    assert_eq!(data(&early, 1), b"all");
    assert_eq!(early.iter().filter(|frame| frame.flags & END_STREAM != 0).count(), 1);
    let (Opened { mut stream, .. }, mut ahead) = answer(&mut raw, opening, 1).await;
    assert_eq!(ahead.read(&mut [0; 1]).await.unwrap(), 0, "the relay finds the end again");
    stream.shutdown().await.unwrap();
    assert_eq!(until_pong(&mut raw).await, []);
    raw.send(&frame(DATA, END_STREAM, 1, b"late answer")).await;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert_eq!(said, b"late answer");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_heard_whatever_was_sent() {
    let (connection, mut raw) = dial(settings(), &[EARLY, (4, 3)]).await;
    for (number, ends) in [(0, false), (1, true)] {
        let stream = 2 * number + 1;
        let (opening, _application) = open(&connection, b"more than the window", ends).await;
        raw.next_of(DATA).await;
        let refusal = headers(stream, END_STREAM, &[(":status", "401"), ("proxy-status", "no")]);
        raw.send(&[refusal, reset(stream, 0)].concat()).await;
        let (refused, _ahead) = opening.await.unwrap();
        assert!(matches!(refused, Err(OpenError::Refused { status: 401, .. })), "{refused:?}");
    }
    let (opening, _application) = open(&connection, b"hi", false).await;
    raw.next_of(DATA).await;
    assert_eq!(answer(&mut raw, opening, 5).await.0.early, 2, "the tunnel goes on");
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_heard_while_they_wait_for_room() {
    let (connection, mut raw) = dial(settings(), &[EARLY, (4, 3)]).await;
    let (opening, _application) = open(&connection, b"more than the window", false).await;
    raw.next_of(DATA).await;
    raw.send(&reset(1, 2)).await;
    assert!(matches!(opening.await.unwrap().0, Err(OpenError::Reset(_))));
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_takes_the_request_back() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    let (opening, _application) = open(&connection, b"ping", false).await;
    raw.next_of(DATA).await;
    opening.abort();
    assert_eq!(
        raw.next_of(RST_STREAM).await,
        Frame { kind: RST_STREAM, flags: 0, stream: 1, payload: vec![0, 0, 0, 8] }
    );
}

/// A server by hand that is silent dies unnoticed: bytes sent into it could not be sent anew.
#[tokio::test(start_paused = true)]
async fn a_tunnel_that_was_long_silent_gets_none() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    tokio::time::advance(Duration::from_secs(10)).await;
    let (opening, _application) = open(&connection, b"ping", false).await;
    raw.next_of(HEADERS).await;
    assert_eq!(data(&until_pong(&mut raw).await, 1), b"");
    assert_eq!(answer(&mut raw, opening, 1).await.0.early, 0);
    let (_opening, _application) = open(&connection, b"ping", false).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"ping", "its answer was a sign of life");
}

/// After a moment without any answer, no more of them are risked.
#[tokio::test(start_paused = true)]
async fn a_tunnel_in_doubt_gets_none() {
    let (connection, mut raw) = dial(settings(), &[EARLY]).await;
    let (_opening, _application) = open(&connection, b"first", false).await;
    raw.next_of(DATA).await;
    let (_opening, _application) = open(&connection, b"at once", false).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"at once");
    tokio::time::advance(Duration::from_millis(50)).await;
    let (opening, _application) = open(&connection, b"later", false).await;
    raw.next_of(HEADERS).await;
    assert_eq!(data(&until_pong(&mut raw).await, 5), b"");
    assert_eq!(answer(&mut raw, opening, 5).await.0.early, 0);
    let (_opening, _application) = open(&connection, b"again", false).await;
    assert_eq!(raw.next_of(DATA).await.payload, b"again", "any word takes the doubt away");
}

/// A pool whose tunnels are servers by hand, and one of them in use.
async fn pool_with(net: &Net) -> (Arc<Pool<Net>>, Raw) {
    let pool =
        Arc::new(Pool::new(net.clone(), PoolSettings { client: settings(), ..PoolSettings::default() }));
    let mut raw = net.plan_raw();
    let first = key("a");
    let serve = async {
        raw.open_as_server(&[EARLY]).await;
        raw.next_of(HEADERS).await;
        raw.send(&ok(1)).await;
    };
    let (opened, ()) = tokio::join!(pool.open(&first, request()), serve);
    opened.unwrap();
    raw.next_of(RST_STREAM).await;
    (pool, raw)
}

fn open_in(pool: &Arc<Pool<Net>>, says: &'static [u8]) -> Opening {
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        let (mut application, far) = duplex(PIPE);
        application.write_all(says).await.unwrap();
        let mut ahead = Ahead::new(far);
        (pool.open_for(&key("a"), request(), &mut ahead).await, ahead)
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_not_taken_is_opened_anew_with_all_its_bytes() {
    for refusal in [reset(3, 7), goaway(1, 0)] {
        for entries in [&[EARLY][..], &[]] {
            let net = Net::new();
            let (pool, mut raw) = pool_with(&net).await;
            let mut fresh = net.plan_raw();
            let opening = open_in(&pool, b"ping");
            assert_eq!(raw.next_of(DATA).await.payload, b"ping");
            raw.send(&refusal).await;
            fresh.open_as_server(entries).await;
            fresh.next_of(HEADERS).await;
            let early = data(&until_pong(&mut fresh).await, 1);
            let (opened, ahead) = answer(&mut fresh, opening, 1).await;
            let both = [&early, ahead.held()].concat();
            assert_eq!((both.as_slice(), opened.early), (&b"ping"[..], early.len() as u64));
            assert_eq!(early.is_empty(), entries.is_empty());
            assert_eq!(net.dials(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_dies_with_them_is_not_replaced() {
    let net = Net::new();
    let (pool, mut raw) = pool_with(&net).await;
    let opening = open_in(&pool, b"ping");
    raw.next_of(DATA).await;
    drop(raw);
    let (opened, _ahead) = opening.await.unwrap();
    assert!(matches!(opened, Err(OpenError::Lost(_))), "{opened:?}");
    assert_eq!(net.dials(), 1, "they may have arrived, and would arrive twice");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_died_before_them_is_replaced() {
    let net = Net::new();
    let (pool, raw) = pool_with(&net).await;
    let mut fresh = net.plan_raw();
    // Nobody has noticed when the stream is opened.
    drop(raw);
    let (mut application, far) = duplex(PIPE);
    application.write_all(b"ping").await.unwrap();
    let mut ahead = Ahead::new(far);
    let first = key("a");
    let opening = pool.open_for(&first, request(), &mut ahead);
    let serve = async {
        fresh.open_as_server(&[EARLY]).await;
        assert_eq!(fresh.next_of(DATA).await.payload, b"ping");
        fresh.send(&ok(1)).await;
    };
    let (opened, ()) = tokio::join!(opening, serve);
    assert_eq!(opened.unwrap().early, 4);
    assert_eq!(net.dials(), 2);
}
