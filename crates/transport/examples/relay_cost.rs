//! What does a relay between two sockets cost? Copied and moved by the kernel, round about: CPU-seconds per GB of this
//! process (the relay) and of everybody, client and server being processes of their own.
//!
//! `cargo run --release -p ambit-transport --example relay_cost [ROUNDS] [STREAMS]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::future::pending;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ambit_transport::relay::{Limits, relay};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::net::{TcpListener, TcpStream};

const GIGABYTE: f64 = 1e9;
const PIECE: usize = 128 * 1024;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let parsed: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match parsed.as_slice() {
        ["send", target, bytes] => send(target.parse().unwrap(), bytes.parse().unwrap()),
        ["receive", target] => receive(target.parse().unwrap()),
        rest => {
            let number = |at: usize, default| rest.get(at).map_or(default, |text| text.parse().unwrap());
            measure(number(0, 5), number(1, 1));
        }
    }
}

fn send(target: SocketAddr, bytes: u64) {
    let mut stream = StdStream::connect(target).unwrap();
    let piece = vec![7; PIECE];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(PIECE as u64);
        stream.write_all(&piece[..now as usize]).unwrap();
        left -= now;
    }
}

fn receive(target: SocketAddr) {
    let mut stream = StdStream::connect(target).unwrap();
    let mut piece = vec![0; PIECE];
    while stream.read(&mut piece).unwrap() > 0 {}
}

fn measure(rounds: u64, streams: u64) {
    println!("path     streams  Gbit/s  relay CPU-s/GB  all CPU-s/GB");
    for _ in 0..rounds {
        for splice in [false, true] {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(one(splice, streams));
        }
    }
}

async fn one(splice: bool, streams: u64) {
    const TOTAL: u64 = 6_000_000_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let total = (TOTAL / streams).to_string();
    let (own, others) = (cpu(UsageWho::RUSAGE_SELF), cpu(UsageWho::RUSAGE_CHILDREN));
    let start = Instant::now();
    let mut children = Vec::new();
    let mut relays = Vec::new();
    for _ in 0..streams {
        let (downstream, client) = accept(&listener, &["send", &address, &total]).await;
        let (upstream, server) = accept(&listener, &["receive", &address]).await;
        children.extend([client, server]);
        let limits = Limits { splice, ..Limits::default() };
        relays.push(tokio::spawn(relay(downstream, upstream, &(), limits, pending())));
    }
    for running in relays {
        assert_eq!(running.await.unwrap().unwrap().sent, TOTAL / streams);
    }
    let took = start.elapsed();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let own = cpu(UsageWho::RUSAGE_SELF) - own;
    let others = cpu(UsageWho::RUSAGE_CHILDREN) - others;
    let gigabytes = TOTAL as f64 / GIGABYTE;
    println!(
        "{:8} {streams:7} {:7.1} {:15.3} {:13.3}",
        if splice { "splice" } else { "copy" },
        8.0 * gigabytes / took.as_secs_f64(),
        own.as_secs_f64() / gigabytes,
        (own + others).as_secs_f64() / gigabytes,
    );
}

async fn accept(listener: &TcpListener, arguments: &[&str]) -> (TcpStream, Child) {
    let child = Command::new(std::env::current_exe().unwrap()).args(arguments).spawn().unwrap();
    (listener.accept().await.unwrap().0, child)
}

fn cpu(whose: UsageWho) -> Duration {
    let usage = getrusage(whose).unwrap();
    let of =
        |time: nix::sys::time::TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    of(usage.user_time()) + of(usage.system_time())
}
