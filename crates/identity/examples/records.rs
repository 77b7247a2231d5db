//! What does TLS cost, with our record layer and with rustls', and a handshake with certificates and without? In one
//! interleaved run, bulk over loopback TCP, handshakes with both ends in one thread:
//! `cargo run --release -p ambit-identity --example records [GIGABYTES] [ROUNDS]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use ambit_identity::csr::certificate_request;
use ambit_identity::tls::{self, Handshake, Layer, Options, Received};
use ambit_identity::{Authority, Certificate, ExpectedPeers, KeyPair, Provider};
use ambit_model::Identity;

const PIECE: usize = 64 * 1024;
const QUEUE: usize = 256 * 1024;
const HANDSHAKES: u32 = 300;
const LAYERS: [Layer; 2] = [Layer::Own, Layer::Library];

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<usize>().unwrap());
    let (gigabytes, rounds) = (arguments.next().unwrap_or(1), arguments.next().unwrap_or(5));
    for provider in Provider::COMPILED {
        let (client, server) = certificates(*provider);
        for round in 1..=rounds {
            for resumption in [false, true] {
                let time = run(handshakes(Options { resumption, ..Options::default() }, &client, &server));
                let each = time.as_secs_f64() * 1000.0 / f64::from(HANDSHAKES);
                println!("{provider} round {round} resumption {resumption}: {each:.3} CPU-ms for both ends");
            }
            for records in LAYERS {
                let sample =
                    transfer(Options { records, resumption: false }, &client, &server, gigabytes << 30);
                println!("{provider} round {round} {records:?}: {sample}");
            }
        }
    }
}

fn certificates(provider: Provider) -> (Arc<Certificate>, Arc<Certificate>) {
    let now = SystemTime::now();
    let authority = Authority::create(provider, "cluster.local", "example", now).unwrap();
    let issue = |account| {
        let identity = Identity::new("cluster.local", "shop", account).unwrap();
        let key = KeyPair::generate(provider).unwrap();
        let request = certificate_request(&key, &identity).unwrap();
        let chain = authority.sign(&request, &identity, Duration::from_secs(3600), now).unwrap();
        Arc::new(Certificate::from_pem(&chain, &key, &identity, now).unwrap())
    };
    (issue("web"), issue("cart"))
}

struct Sample {
    gigabytes: f64,
    elapsed: Duration,
    sender: Duration,
    receiver: Duration,
}

impl std::fmt::Display for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = |time: Duration| time.as_secs_f64() / self.gigabytes;
        write!(
            f,
            "{:.2} GB/s; CPU-s/GB: sender {:.3}, receiver {:.3}, both {:.3}",
            self.gigabytes / self.elapsed.as_secs_f64(),
            per(self.sender),
            per(self.receiver),
            per(self.sender + self.receiver),
        )
    }
}

fn transfer(options: Options, client: &Arc<Certificate>, server: &Arc<Certificate>, total: usize) -> Sample {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let begun = Instant::now();
    let (client, server) = (client.clone(), server.clone());
    let expected = ExpectedPeers::from(server.identity().clone());
    let sender = thread::spawn(move || run(send(options, address, &client, &expected, total)));
    let receiver = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        run(receive(options, stream, &server, total))
    });
    let (sender, receiver) = (sender.join().unwrap(), receiver.join().unwrap());
    Sample { gigabytes: total as f64 / 1e9, elapsed: begun.elapsed(), sender, receiver }
}

/// Runs it on this thread and says what CPU time the thread took.
fn run(future: impl Future<Output = ()>) -> Duration {
    let begun = cpu_time();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
    cpu_time() - begun
}

/// Of this thread.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// Each as long as it takes for both ends to hear of each other.
async fn handshakes(options: Options, client: &Certificate, server: &Certificate) {
    let expected = ExpectedPeers::from(server.identity().clone());
    for number in 0..HANDSHAKES {
        let (here, there) = tokio::io::duplex(1 << 16);
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        let (connected, accepted) = tokio::join!(
            tls::connect_with(options, address, here, client, &expected),
            tls::accept_with(options, there, server)
        );
        let (mut near, mut far) = (connected.unwrap().0, accepted.unwrap().0);
        far.seal(&[b"hello"]).unwrap();
        poll_fn(|cx| far.poll_send(cx)).await.unwrap();
        poll_fn(|cx| near.poll_receive(cx, &mut |_| {})).await.unwrap();
        let resumed = near.negotiated().handshake == Handshake::Resumed;
        assert!(resumed == options.resumption || number == 0);
    }
}

fn asynchronous(stream: TcpStream) -> tokio::net::TcpStream {
    stream.set_nonblocking(true).unwrap();
    stream.set_nodelay(true).unwrap();
    tokio::net::TcpStream::from_std(stream).unwrap()
}

async fn send(
    options: Options,
    address: SocketAddr,
    client: &Certificate,
    expected: &ExpectedPeers,
    total: usize,
) {
    let stream = asynchronous(TcpStream::connect(address).unwrap());
    let (mut stream, _) = tls::connect_with(options, address.ip(), stream, client, expected).await.unwrap();
    let piece = vec![0x5a; PIECE];
    for _ in 0..total / PIECE {
        stream.seal(&[&piece]).unwrap();
        if stream.queued() >= QUEUE {
            poll_fn(|cx| stream.poll_send(cx)).await.unwrap();
        }
    }
    poll_fn(|cx| stream.poll_close(cx)).await.unwrap();
}

async fn receive(options: Options, stream: TcpStream, server: &Certificate, total: usize) {
    let (mut stream, _) = tls::accept_with(options, asynchronous(stream), server).await.unwrap();
    let mut seen = 0;
    while poll_fn(|cx| {
        stream.poll_receive(cx, &mut |pieces| seen += pieces.iter().map(|piece| piece.len()).sum::<usize>())
    })
    .await
    .unwrap()
        != Received::End
    {}
    assert_eq!(seen, total / PIECE * PIECE);
}
