//! Windows that follow the path: a far peer's stream becomes fast, a slow reader's holds no more than it may.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/tunnel.rs"]
mod tunnel;

use std::time::Duration;

use ambit_hbone::settings::Buffers;
use ambit_hbone::{ClientSettings, Engine, Headroom, ServerSettings, Stream};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tunnel::{Client, Server, client, request};

const MIB: usize = 1 << 20;
const FIRST_WINDOW: usize = 256 * 1024;
const TRIP: Duration = Duration::from_millis(50);

/// One way of a path: every byte arrives as much later, and at most so many of them a second where there is a limit.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    rate: Option<u32>,
) {
    let (late, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let (mut free, mut bytes) = (Instant::now(), vec![0; 64 * 1024]);
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if let Some(rate) = rate {
            free = free.max(Instant::now()) + SECOND * u32::try_from(count).unwrap() / rate;
            sleep_until(free).await;
        }
        let _ = late.send((Instant::now() + TRIP / 2, bytes[..count].to_vec()));
    }
}

fn path(near: DuplexStream, far: DuplexStream, rate: Option<u32>) {
    type Halves = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);
    let halves: [Halves; 2] = [tokio::io::split(near), tokio::io::split(far)];
    let [(near_read, near_write), (far_read, far_write)] = halves;
    tokio::spawn(carry(near_read, far_write, rate));
    tokio::spawn(carry(far_read, near_write, rate));
}

struct Far {
    near: Stream,
    far: Stream,
    client: Client,
    server: Server,
    headroom: Headroom,
}

/// A stream to a server so far away, whose receiving end is looked at.
async fn far(engine: Engine, buffers: Buffers, rate: Option<u32>) -> Far {
    let headroom = buffers.headroom.clone();
    let settings = ServerSettings { engine, buffers, ..ServerSettings::default() };
    let (found, mut streams) = mpsc::unbounded_channel();
    let (theirs, server) = tunnel::server(settings, move |incoming| {
        let found = found.clone();
        async move { drop(found.send(incoming.accept(None).unwrap())) }
    });
    let (ours, near_end) = duplex(16 * MIB);
    path(near_end, theirs, rate);
    let client = client(ours, ClientSettings::default()).await;
    let (near, _) = client.connection.open(request()).await.unwrap();
    let far = streams.recv().await.unwrap();
    Far { near, far, client, server, headroom }
}

/// Writes without end into a stream.
fn pour(mut stream: Stream) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let bytes = vec![7; 256 * 1024];
        while stream.write_all(&bytes).await.is_ok() {}
    })
}

/// Bytes that come in so long.
async fn take(stream: &mut Stream, time: Duration) -> usize {
    let (mut taken, mut bytes) = (0, vec![0; 256 * 1024]);
    let until = Instant::now() + time;
    while let Ok(read) =
        timeout(until.saturating_duration_since(Instant::now()), stream.read(&mut bytes)).await
    {
        taken += read.unwrap();
    }
    taken
}

/// What is left to come when nobody sends any more room for it.
async fn held(stream: &mut Stream) -> usize {
    sleep(20 * TRIP).await;
    let (mut taken, mut bytes) = (0, vec![0; 256 * 1024]);
    // Whatever has arrived is there at once; what the reading invites is a round trip away.
    while let Ok(read) = timeout(TRIP / 4, stream.read(&mut bytes)).await {
        taken += read.unwrap();
    }
    taken
}

const SECOND: Duration = Duration::from_secs(1);

/// What a window lets through in a second, at best.
fn most(window: usize) -> usize {
    window * 1000 / usize::try_from(TRIP.as_millis()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_over_50_ms_fills_the_widest_window() {
    let Far { near, mut far, client, server, headroom } = far(Engine::Own, Buffers::default(), None).await;
    let whole = headroom.left();
    let pouring = pour(near);
    let first = take(&mut far, 2 * TRIP).await;
    assert!(first <= most(FIRST_WINDOW), "{first} bytes before anything was measured");
    take(&mut far, SECOND).await;
    let rate = take(&mut far, SECOND).await;
    assert!(rate >= most(4 * MIB) * 2 / 3, "{rate} bytes a second");
    assert_eq!(headroom.left(), whole - (4 * MIB - FIRST_WINDOW));
    pouring.abort();
    drop((far, client));
    server.serving.await.unwrap().unwrap();
    assert_eq!(headroom.left(), whole);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_the_first_window() {
    let Far { near, mut far, client: _client, server: _server, headroom } =
        far(Engine::Own, Buffers::default(), None).await;
    let whole = headroom.left();
    let _pouring = pour(near);
    let mut bytes = vec![0; 16 * 1024];
    for _ in 0..500 {
        far.read_exact(&mut bytes).await.unwrap();
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(headroom.left(), whole);
    let held = held(&mut far).await;
    assert!(held <= FIRST_WINDOW, "{held} bytes were held");
}

#[tokio::test(start_paused = true)]
async fn a_narrow_path_makes_no_window_wider_than_it_can_fill() {
    // 10 MB a second: half a megabyte is under way.
    let Far { near, mut far, client: _client, server: _server, headroom } =
        far(Engine::Own, Buffers::default(), Some(10_000_000)).await;
    let whole = headroom.left();
    let _pouring = pour(near);
    take(&mut far, 5 * SECOND).await;
    let rate = take(&mut far, SECOND).await;
    assert!(rate >= 9_000_000, "{rate} bytes a second");
    let width = whole - headroom.left();
    assert!(width <= 5 * MIB / 4, "{width} bytes were leased");
}

#[tokio::test(start_paused = true)]
async fn nothing_grows_without_a_budget_or_where_it_is_not_wanted() {
    let spent = Buffers { headroom: Headroom::new(0), ..Buffers::default() };
    let fixed = Buffers { widest_stream_window: 0, ..Buffers::default() };
    let other = Buffers::default();
    for (engine, buffers) in [(Engine::Own, spent), (Engine::Own, fixed), (Engine::Library, other)] {
        let Far { near, mut far, client: _client, server: _server, headroom } =
            far(engine, buffers, None).await;
        let whole = headroom.left();
        let pouring = pour(near);
        take(&mut far, SECOND).await;
        let rate = take(&mut far, SECOND).await;
        assert!(rate <= most(FIRST_WINDOW) * 11 / 10, "{engine:?}: {rate} bytes a second");
        assert_eq!(headroom.left(), whole);
        pouring.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_the_budget_is_for_more_streams() {
    let purse = 2 * MIB;
    let buffers = Buffers { headroom: Headroom::new(purse), ..Buffers::default() };
    let Far { near, mut far, client: _client, server: _server, headroom } =
        far(Engine::Own, buffers, None).await;
    let _pouring = pour(near);
    take(&mut far, 2 * SECOND).await;
    assert!(headroom.left() < purse, "it grew");
    assert!(headroom.left() >= purse / 2, "{} bytes are left", headroom.left());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_becomes_slow_becomes_narrow() {
    let Far { mut near, mut far, client: _client, server: _server, headroom } =
        far(Engine::Own, Buffers::default(), None).await;
    let whole = headroom.left();
    let busy = Instant::now() + 2 * SECOND;
    let pouring = tokio::spawn(async move {
        let bytes = vec![7; 64 * 1024];
        while Instant::now() < busy {
            near.write_all(&bytes).await.unwrap();
        }
        // A quarter of a megabyte a second.
        loop {
            near.write_all(&bytes).await.unwrap();
            sleep(SECOND / 4).await;
        }
    });
    take(&mut far, 2 * SECOND).await;
    assert_eq!(headroom.left(), whole - (4 * MIB - FIRST_WINDOW));
    take(&mut far, 90 * SECOND).await;
    assert_eq!(headroom.left(), whole);
    pouring.abort();
}
