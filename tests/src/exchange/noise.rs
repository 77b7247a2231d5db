//! Bytes that cannot be guessed from their neighbours, and their checksum.

use std::io::{self, Read, Write};

/// What is written at a time; every volume is a multiple of it.
pub const BLOCK: usize = 64 * 1024;

/// Noise (xorshift) with a running checksum of what was taken.
struct Noise {
    state: u64,
    sum: u64,
}

impl Noise {
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

fn blocks(bytes: u64) -> u64 {
    assert_eq!(bytes % BLOCK as u64, 0, "not a multiple of {BLOCK}");
    bytes / BLOCK as u64
}

/// Sends noise, then its checksum of eight bytes.
pub fn send(stream: &mut impl Write, seed: u64, bytes: u64) -> io::Result<()> {
    let (mut noise, mut block) = (Noise { state: seed, sum: 0 }, vec![0; BLOCK]);
    for _ in 0..blocks(bytes) {
        noise.fill(&mut block);
        stream.write_all(&block)?;
    }
    stream.write_all(&noise.sum.to_le_bytes())
}

/// Reads as many bytes and their checksum; whether they belong together.
pub fn receive(stream: &mut impl Read, bytes: u64) -> io::Result<bool> {
    let (mut block, mut found) = (vec![0; BLOCK], 0);
    for _ in 0..blocks(bytes) {
        stream.read_exact(&mut block)?;
        found = sum(found, &block);
    }
    let mut sent = [0; 8];
    stream.read_exact(&mut sent)?;
    Ok(u64::from_le_bytes(sent) == found)
}
