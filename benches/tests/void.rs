//! A sample in which anything was lost or changed is void: shown with a server that lies and a proxy that tampers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ambit_benches::client::Client;
use ambit_benches::work::bulk::Direction;
use ambit_benches::work::load::{Figures, Work};
use ambit_benches::work::server::{Manners, serve};
use ambit_netns::Namespace;

const PATIENCE: Duration = Duration::from_secs(40);
const REQUESTS: Work = Work::Requests { connections: 8, rate: None };

fn server(manners: Manners) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || serve(listener, manners));
    address
}

/// What the proxy does with bytes: the position of the first one within its connection's direction, and the bytes.
/// `false` ends the connection.
type Tamper = fn(up: bool, position: u64, bytes: &mut [u8]) -> bool;

fn proxy(to: SocketAddr, tamper: Tamper) -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let passed = Arc::new(AtomicU64::new(0));
    let counted = passed.clone();
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(to) else { return };
            for (up, from, into) in [
                (true, near.try_clone().unwrap(), far.try_clone().unwrap()),
                (false, far.try_clone().unwrap(), near.try_clone().unwrap()),
            ] {
                let counted = counted.clone();
                std::thread::spawn(move || carry(up, from, into, tamper, &counted));
            }
        }
    });
    (address, passed)
}

fn carry(up: bool, mut from: TcpStream, mut into: TcpStream, tamper: Tamper, counted: &AtomicU64) {
    let (mut buffer, mut position) = (vec![0; 64 * 1024], 0);
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !tamper(up, position, &mut buffer[..count]) {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
        if into.write_all(&buffer[..count]).is_err() {
            break;
        }
        position += count as u64;
        counted.fetch_add(count as u64, Ordering::SeqCst);
    }
    let _ = into.shutdown(Shutdown::Write);
}

fn honest(_: bool, _: u64, _: &mut [u8]) -> bool {
    true
}

fn client(to: SocketAddr, work: Work) -> anyhow::Result<Client> {
    let program = Path::new(env!("CARGO_BIN_EXE_ambit-bench"));
    Client::start(program, &Namespace::current().unwrap(), to, work)
}

/// Works until `more` bytes have passed the proxy, then ends well.
fn well(work: Work, more: u64) -> Figures {
    let (to, passed) = proxy(server(Manners::Honest), honest);
    let mut client = client(to, work).unwrap();
    let begun = passed.load(Ordering::SeqCst);
    client.begin().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while passed.load(Ordering::SeqCst) < begun + more {
        assert!(Instant::now() < deadline, "nothing passes");
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let figures = client.end().unwrap();
    client.stop().unwrap();
    figures
}

/// Works until something is found to be wrong.
fn found(to: SocketAddr, work: Work) -> String {
    let mut client = match client(to, work) {
        Ok(client) => client,
        Err(error) => return format!("{error:#}"),
    };
    client.begin().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Err(error) = client.end() {
            return format!("{error:#}");
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    panic!("{work:?}: nothing was found");
}

#[test]
fn honest_work_is_counted() {
    let closed = well(REQUESTS, 100_000);
    assert!(closed.count > 100 && closed.latency.unwrap().p50 > 0.0);
    let churn = well(Work::Churn { clients: 4 }, 10_000);
    assert!(churn.count > 10);
    let open = well(Work::Requests { connections: 4, rate: Some(400.0) }, 30_000);
    assert!(open.count > 20 && !open.behind, "{open:?}");
    for direction in [Direction::Up, Direction::Down] {
        let bulk = well(Work::Bulk { streams: 2, direction }, 100_000_000);
        assert!(bulk.bytes > 50_000_000, "{bulk:?}");
    }
    well(Work::Hold { connections: 50 }, 0);
}

#[test]
fn a_server_that_answers_wrongly_makes_void() {
    for work in [REQUESTS, Work::Requests { connections: 4, rate: Some(2_000.0) }, Work::Churn { clients: 4 }]
    {
        let words = found(server(Manners::Corrupts), work);
        assert!(words.contains("another body"), "{work:?}: {words}");
    }
}

#[test]
fn a_server_that_drops_requests_makes_void() {
    for work in [REQUESTS, Work::Churn { clients: 4 }] {
        let words = found(server(Manners::Drops), work);
        assert!(words.contains("closed before the answer"), "{work:?}: {words}");
    }
}

#[test]
fn one_flipped_bit_in_a_bulk_stream_makes_void() {
    const AT: u64 = 5_000_000;
    fn flip(bytes: &mut [u8], position: u64) {
        if let Some(byte) = AT.checked_sub(position).and_then(|at| bytes.get_mut(at as usize)) {
            *byte ^= 0x10;
        }
    }
    let up: Tamper = |up, position, bytes| {
        if up {
            flip(bytes, position);
        }
        true
    };
    let down: Tamper = |up, position, bytes| {
        if !up {
            flip(bytes, position);
        }
        true
    };
    for (direction, tamper) in [(Direction::Up, up), (Direction::Down, down)] {
        let (to, _) = proxy(server(Manners::Honest), tamper);
        let words = found(to, Work::Bulk { streams: 1, direction });
        // The server's words may be lost with its connection; that the stream failed is known then too.
        assert!(words.contains("stream 0"), "{direction:?}: {words}");
    }
}

#[test]
fn a_bulk_stream_that_is_cut_makes_void() {
    let cut: Tamper = |up, position, _| up || position < 3_000_000;
    let (to, _) = proxy(server(Manners::Honest), cut);
    let words = found(to, Work::Bulk { streams: 1, direction: Direction::Down });
    assert!(words.contains("ended"), "{words}");
}
