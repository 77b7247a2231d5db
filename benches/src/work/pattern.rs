//! The bytes of a bulk stream: every one of them is known beforehand and compared on arrival.
//!
//! A stream is a sequence of blocks. A block is the same pseudo-random words for the whole stream, except the first one,
//! which tells the block's number. So a byte that is wrong, missing, doubled or out of place is seen, and the comparison
//! is one `memcmp` against a block that stays in the cache.

/// Bytes in a block; small enough for a core's own cache.
pub const BLOCK: usize = 128 * 1024;
const WORD: usize = 8;

/// One block, which becomes each block of the stream in turn.
#[derive(Debug)]
pub struct Pattern {
    bytes: Vec<u8>,
    seed: u64,
}

impl Pattern {
    /// The stream of this number.
    pub fn new(seed: u64) -> Self {
        let words = (0..BLOCK / WORD).map(|index| mix(seed ^ mix(index as u64)));
        Self { bytes: words.flat_map(u64::to_le_bytes).collect(), seed }
    }

    /// The bytes of block `number`.
    pub fn block(&mut self, number: u64) -> &[u8] {
        let first = mix(self.seed.wrapping_add(number.wrapping_mul(0x1357_9bdf_0246_8ace)));
        if let Some(head) = self.bytes.first_chunk_mut() {
            *head = first.to_le_bytes();
        }
        &self.bytes
    }
}

/// Compares what arrives with what was sent.
#[derive(Debug)]
pub struct Verifier {
    pattern: Pattern,
    position: u64,
}

/// A stream that is not what was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wrong byte within {length} bytes from position {position} of the stream")]
pub struct Wrong {
    /// Where the piece begins that differs.
    pub position: u64,
    /// Its length.
    pub length: usize,
}

impl Verifier {
    /// Of the stream of this number.
    pub fn new(seed: u64) -> Self {
        Self { pattern: Pattern::new(seed), position: 0 }
    }

    /// Bytes that arrived and were right.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes the next bytes.
    pub fn take(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
        while !bytes.is_empty() {
            let (number, offset) = (self.position / BLOCK as u64, (self.position % BLOCK as u64) as usize);
            let expected = self.pattern.block(number).get(offset..).unwrap_or_default();
            let length = expected.len().min(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            if expected.get(..length) != Some(piece) {
                return Err(Wrong { position: self.position, length });
            }
            self.position += length as u64;
            bytes = rest;
        }
        Ok(())
    }
}

/// Spreads a number over 64 bits (the finalizer of `SplitMix64`).
pub fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(seed: u64, blocks: u64) -> Vec<u8> {
        let mut pattern = Pattern::new(seed);
        (0..blocks).flat_map(|number| pattern.block(number).to_vec()).collect()
    }

    #[test]
    fn a_stream_is_accepted_in_any_pieces() {
        let bytes = stream(7, 3);
        for size in [1_000, 65_536, BLOCK - 1, BLOCK + 1, bytes.len()] {
            let mut verifier = Verifier::new(7);
            bytes.chunks(size).for_each(|piece| verifier.take(piece).unwrap());
            assert_eq!(verifier.position(), bytes.len() as u64);
        }
    }

    #[test]
    fn every_kind_of_damage_is_seen() {
        let good = stream(7, 4);
        let seen = |bytes: &[u8]| {
            bytes.chunks(10_007).try_for_each({
                let mut verifier = Verifier::new(7);
                move |piece| verifier.take(piece)
            })
        };
        assert!(seen(&good).is_ok());
        for position in [0, 9, BLOCK - 1, BLOCK, 3 * BLOCK + 5] {
            let mut flipped = good.clone();
            flipped[position] ^= 1;
            assert!(seen(&flipped).is_err(), "flipped at {position}");
            let mut lost = good.clone();
            lost.remove(position);
            assert!(seen(&lost).is_err(), "lost at {position}");
            let mut doubled = good.clone();
            doubled.insert(position, good[position]);
            assert!(seen(&doubled).is_err(), "doubled at {position}");
        }
        let mut swapped = good.clone();
        let (front, back) = swapped.split_at_mut(2 * BLOCK);
        front[..BLOCK].swap_with_slice(&mut back[..BLOCK]);
        assert!(seen(&swapped).is_err(), "two blocks changed places");
        assert!(Verifier::new(8).take(&good).is_err(), "another stream");
    }
}
