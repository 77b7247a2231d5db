//! Much at once: a gigabyte, and two hundred connections.

use std::io::{self, Read, Write};
use std::net::Shutdown;

use ambit_tests::client;
use ambit_tests::mesh::Mesh;
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;

pub(crate) const TESTS: &[Test] =
    &[("a_gigabyte", a_gigabyte), ("two_hundred_connections", two_hundred_connections)];

const HALF: usize = 512 * 1024 * 1024;
const BLOCK: usize = 64 * 1024;

/// Bytes that cannot be guessed from their neighbours (xorshift), with a running checksum of what was taken.
struct Noise {
    state: u64,
    sum: u64,
}

impl Noise {
    fn new(seed: u64) -> Self {
        Self { state: seed, sum: 0 }
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
            word.copy_from_slice(&self.state.to_le_bytes());
        }
        self.sum = sum(self.sum, block);
    }
}

fn sum(before: u64, block: &[u8]) -> u64 {
    let word = |word: &[u8]| word.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
    block
        .chunks(8)
        .fold(before, |sum, bytes| sum.rotate_left(5) ^ word(bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Sends half a gigabyte, then its checksum.
fn send(stream: &mut impl Write, seed: u64) -> io::Result<()> {
    let (mut noise, mut block) = (Noise::new(seed), vec![0; BLOCK]);
    for _ in 0..HALF / BLOCK {
        noise.fill(&mut block);
        stream.write_all(&block)?;
    }
    stream.write_all(&noise.sum.to_le_bytes())
}

/// Reads half a gigabyte and its checksum; whether they belong together.
fn receive(stream: &mut impl Read) -> io::Result<bool> {
    let (mut block, mut found) = (vec![0; BLOCK], 0);
    for _ in 0..HALF / BLOCK {
        stream.read_exact(&mut block)?;
        found = sum(found, &block);
    }
    let mut sent = [0; 8];
    stream.read_exact(&mut sent)?;
    Ok(u64::from_le_bytes(sent) == found)
}

fn a_gigabyte() {
    let mut mesh = Mesh::started("gigabyte");
    let (web, far) = (mesh.pod("web", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let server = Server::start(far.netns(), 8080, |connection| {
        let good = receive(connection)?;
        connection.stream.write_all(&[u8::from(good)])?;
        send(&mut connection.stream, 2)
    });
    let mut stream = client::connect(web.netns(), far.at(8080));
    send(&mut stream, 1).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut good = [0];
    stream.read_exact(&mut good).unwrap();
    assert_eq!(good, [1], "what the server read has another checksum");
    assert!(receive(&mut stream).unwrap(), "what the client read has another checksum");
    assert_eq!(client::drain(&mut stream).0.len(), 0, "there is more than was sent");
    assert_eq!(server.seen.bytes(), HALF as u64 + 8);
    let line = mesh.ztunnel(Side::B).logged("the transfer", |line| line["direction"] == "inbound");
    assert_eq!(line["bytes_recv"], HALF + 8, "{line}");
    assert_eq!(line["bytes_sent"], HALF + 9, "{line}");
}

fn two_hundred_connections() {
    let mut mesh = Mesh::started("two-hundred");
    let (web, near, far) = (mesh.pod("web", Side::A), mesh.pod("near", Side::A), mesh.pod("far", Side::B));
    mesh.settled();
    let servers = [Server::echo(near.netns(), 8080), Server::echo(far.netns(), 8080)];
    let targets = [near.at(8080), far.at(8080)];
    let open = |number: usize| {
        let mut stream = client::connect(web.netns(), targets[number % 2]);
        client::talk(&mut stream, &format!("first word of {number}"));
        stream
    };
    let mut streams: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..200).map(|number| scope.spawn(move || open(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // All of them at the same time, and each its own.
    for (number, stream) in streams.iter_mut().enumerate() {
        client::talk(stream, &format!("second word of {number}"));
    }
    assert_eq!(servers.map(|server| server.seen.connections()), [100, 100]);
}
