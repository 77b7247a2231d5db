//! What relays take of the process: descriptors of pipes, and nothing more when there are none to have.
//! A test binary of its own with one test, since descriptors and their limit are the process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs::File;
use std::future::pending;
use std::time::Duration;

use ambit_transport::relay::{Limits, RelayError, Relayed, relay};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const STALLED: usize = 40;
const TOTAL: usize = 32 * 1024 * 1024;

type Outcome = Result<Relayed, RelayError>;

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

async fn through(splice: bool) -> (TcpStream, TcpStream, JoinHandle<Outcome>) {
    let (client, downstream) = connected().await;
    let (upstream, server) = connected().await;
    let limits = Limits { splice, ..Limits::default() };
    (client, server, tokio::spawn(relay(downstream, upstream, &(), limits, pending())))
}

/// Descriptors of pipes that this process has.
fn pipes() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    links.filter(|link| link.to_string_lossy().starts_with("pipe:")).count()
}

/// A worker: its own thread and runtime.
fn on_a_worker<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    let worker = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.expect("it hangs") })
    });
    worker.join().unwrap()
}

async fn send(mut from: TcpStream, mut to: TcpStream, relayed: JoinHandle<Outcome>) {
    let data: Vec<u8> = (0..TOTAL as u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut all = Vec::with_capacity(TOTAL);
    let write = async {
        from.write_all(&data).await.unwrap();
        from.shutdown().await.unwrap();
    };
    let ((), read) = tokio::join!(write, to.read_to_end(&mut all));
    read.unwrap();
    assert!(all == data, "bytes differ");
    drop(to);
    assert_eq!(relayed.await.unwrap().unwrap(), Relayed { sent: TOTAL as u64, received: 0 });
}

/// Writes until nothing moves any more.
async fn stuff(stream: &TcpStream) -> usize {
    let (mut written, mut idle) = (0, 0);
    while idle < 100 {
        match stream.try_write(&[3; 65_536]) {
            Ok(bytes) => {
                written += bytes;
                idle = 0;
            }
            Err(_) => {
                idle += 1;
                tokio::task::yield_now().await;
            }
        }
    }
    written
}

#[test]
fn r10_pipes_are_few_and_no_relay_depends_on_one() {
    let before = pipes();

    // Copied: none. Moved by the kernel: some, of which an idle worker keeps few, and a worker that ended none.
    assert_eq!(on_a_worker(async { (send_one(false).await, pipes()).1 }), before);
    let kept = on_a_worker(async { (send_one(true).await, pipes()).1 });
    assert!(kept > before && kept <= before + 16, "{before} before, {kept} kept");
    assert_eq!(pipes(), before);

    // Readers that stall hold pipes, but only so many; all the others are relayed without, and nothing is lost.
    on_a_worker(async move {
        let mut held = Vec::new();
        for _ in 0..STALLED {
            let (client, server, relayed) = through(true).await;
            let written = stuff(&client).await;
            held.push((client, server, relayed, written));
        }
        let now = pipes();
        assert!(now > before + 16 && now <= before + 32, "{now} descriptors of pipes");
        for (mut client, mut server, relayed, written) in held {
            client.shutdown().await.unwrap();
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            assert!(all.len() == written && all.iter().all(|byte| *byte == 3));
            drop(server);
            relayed.await.unwrap().unwrap();
        }
        assert!(pipes() <= before + 16);
    });
    assert_eq!(pipes(), before);

    // No descriptor left: the relay copies, as ever.
    on_a_worker(async move {
        let (client, server, relayed) = through(true).await;
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        setrlimit(Resource::RLIMIT_NOFILE, 64, hard).unwrap();
        let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        assert!(!taken.is_empty());
        send(client, server, relayed).await;
        drop(taken);
        assert_eq!(pipes(), before);
    });
}

async fn send_one(splice: bool) {
    let (client, server, relayed) = through(splice).await;
    send(client, server, relayed).await;
}
