//! The Huffman code of header strings (RFC 7541 section 5.2 and appendix B), read four bits at a time.

use super::Error;

/// The end-of-string symbol, which only ever pads.
const EOS: usize = 256;

/// Bits of each octet's code, and of EOS's. The code is canonical (ordered by length, then by symbol), so that these are
/// all there is to know of it.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code of each symbol, in its low bits.
const CODES: [u32; 257] = {
    let mut codes = [0; 257];
    let (mut code, mut length) = (0, 1);
    while length <= 30 {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] == length {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    codes
};

/// The children of each inner node of the code's tree: below [`LEAF`] an inner node, from there on a symbol's leaf.
/// Node 0 is the root, which is nobody's child.
const TREE: [[u16; 2]; 256] = {
    let mut tree = [[0; 2]; 256];
    let (mut symbol, mut nodes) = (0, 1);
    while symbol < CODES.len() {
        let (mut node, mut left) = (0, LENGTHS[symbol] as u32);
        while left > 1 {
            left -= 1;
            let bit = (CODES[symbol] >> left & 1) as usize;
            if tree[node][bit] == 0 {
                tree[node][bit] = nodes;
                nodes += 1;
            }
            node = tree[node][bit] as usize;
        }
        tree[node][(CODES[symbol] & 1) as usize] = LEAF + symbol as u16;
        symbol += 1;
    }
    tree
};
const LEAF: u16 = 256;

/// What four more bits do at a node. At most one octet: the shortest code has five bits.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    octet: Option<u8>,
    /// They complete EOS, which is an error.
    ends: bool,
}

static STEPS: [[Step; 16]; 256] = {
    let mut steps = [[Step { next: 0, octet: None, ends: false }; 16]; 256];
    let mut at = 0;
    while at < 16 * 256 {
        let (mut node, mut step) = (at / 16, Step { next: 0, octet: None, ends: false });
        let mut left = 4;
        while left > 0 {
            left -= 1;
            let child = TREE[node][((at % 16) >> left) & 1];
            node = child as usize;
            if child >= LEAF {
                let symbol = (child - LEAF) as usize;
                step.ends |= symbol == EOS;
                step.octet = Some(symbol as u8);
                node = 0;
            }
        }
        step.next = node as u8;
        steps[at / 16][at % 16] = step;
        at += 1;
    }
    steps
};

/// Where a string may end: behind a whole octet, and up to seven ones further (the start of EOS).
static ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let (mut node, mut ones) = (0, 0);
    while ones <= 7 {
        ends[node] = true;
        node = TREE[node][1] as usize;
        ones += 1;
    }
    ends
};

/// Appends what `coded` stands for: at most eight octets for five.
pub(super) fn decode(coded: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    out.reserve(coded.len() * 8 / 5);
    let mut node = 0;
    for octet in coded {
        for nibble in [octet >> 4, octet & 15] {
            let step = &STEPS[usize::from(node)][usize::from(nibble)];
            if step.ends {
                return Err(Error::Compression("an end of string inside a string"));
            }
            out.extend(step.octet);
            node = step.next;
        }
    }
    if ENDS[usize::from(node)] { Ok(()) } else { Err(Error::Compression("a string with wrong padding")) }
}

/// The coded form of `octets`, for tests of the decoder.
#[cfg(test)]
pub(super) fn encode(octets: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0u64, 0);
    for octet in octets {
        let symbol = usize::from(*octet);
        bits = bits << LENGTHS[symbol] | u64::from(CODES[symbol]);
        count += u32::from(LENGTHS[symbol]);
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | u8::MAX >> count);
    }
}
