//! Every representation an encoder may choose, made by a naive one with a table of its own.

use proptest::prelude::*;

use super::{DEFAULT_TABLE, Decoder, Fields, decode};
use crate::engine::hpack::{encode_size_update, huffman, integer, predefined::FIELDS};

/// How an encoder writes a field, as far as its table lets it.
#[derive(Debug, Clone, Copy)]
struct Choice {
    /// High bits and prefix of the literal: with, without, never indexed.
    literal: (u8, u32),
    whole_index: bool,
    name_index: bool,
    huffman: (bool, bool),
}

#[derive(Debug, Clone)]
struct Block {
    acknowledged: Option<usize>,
    updates: Vec<usize>,
    fields: Vec<(Vec<u8>, Vec<u8>, Choice)>,
}

/// The table as the RFC tells it, without thought of speed.
struct Naive {
    entries: Fields,
    capacity: usize,
}

impl Naive {
    fn all(&self) -> Fields {
        let fixed = FIELDS.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        fixed.chain(self.entries.iter().cloned()).collect()
    }

    fn shrink(&mut self) {
        while self.entries.iter().map(|(name, value)| name.len() + value.len() + 32).sum::<usize>()
            > self.capacity
        {
            self.entries.pop();
        }
    }

    fn write(&mut self, out: &mut Vec<u8>, name: &[u8], value: &[u8], choice: Choice) {
        let all = self.all();
        let whole = all.iter().rposition(|field| field.0 == name && field.1 == value);
        if let (Some(at), true) = (whole, choice.whole_index) {
            return integer::encode(out, 0x80, 7, at + 1);
        }
        let named = all.iter().rposition(|field| field.0 == name).filter(|_| choice.name_index);
        integer::encode(out, choice.literal.0, choice.literal.1, named.map_or(0, |at| at + 1));
        if named.is_none() {
            text(out, name, choice.huffman.0);
        }
        text(out, value, choice.huffman.1);
        if choice.literal.0 == 0x40 {
            self.entries.insert(0, (name.to_vec(), value.to_vec()));
            self.shrink();
        }
    }
}

fn text(out: &mut Vec<u8>, octets: &[u8], coded: bool) {
    let mut space = Vec::new();
    if coded {
        huffman::encode(octets, &mut space);
    } else {
        space.extend(octets);
    }
    integer::encode(out, if coded { 0x80 } else { 0 }, 7, space.len());
    out.extend(space);
}

fn blocks() -> impl Strategy<Value = Vec<Block>> {
    let literal = prop_oneof![3 => Just((0x40, 6)), 1 => Just((0, 4)), 1 => Just((0x10, 4))];
    let choice = (literal, any::<bool>(), any::<bool>(), any::<(bool, bool)>()).prop_map(
        |(literal, whole_index, name_index, huffman)| Choice { literal, whole_index, name_index, huffman },
    );
    // Few names and values, so that they come again.
    let name = prop_oneof![
        Just(b":status".to_vec()),
        Just(b"cookie".to_vec()),
        prop::collection::vec(b'a'..b'd', 0..3),
        Just(vec![b'n'; 150]),
    ];
    let value = prop_oneof![
        Just(b"200".to_vec()),
        prop::collection::vec(any::<u8>(), 0..2),
        prop::collection::vec(any::<u8>(), 0..200),
        Just(vec![0xff; 300]),
    ];
    let fields = prop::collection::vec((name, value, choice), 0..12);
    let size = || 0usize..600;
    let block = (prop::option::of(size()), prop::collection::vec(size(), 0..3), fields)
        .prop_map(|(acknowledged, updates, fields)| Block { acknowledged, updates, fields });
    prop::collection::vec(block, 1..12)
}

proptest! {
    #[test]
    fn the_decoder_follows_any_encoder(blocks in blocks()) {
        let mut decoder = Decoder::new(DEFAULT_TABLE);
        let mut naive = Naive { entries: Vec::new(), capacity: DEFAULT_TABLE };
        let mut limit = DEFAULT_TABLE;
        for block in blocks {
            let mut out = Vec::new();
            if let Some(size) = block.acknowledged {
                decoder.set_max_table(size);
                limit = size;
            }
            let first = (limit < naive.capacity).then_some(limit);
            for size in first.into_iter().chain(block.updates.iter().map(|size| (*size).min(limit))) {
                encode_size_update(&mut out, size);
                naive.capacity = size;
                naive.shrink();
            }
            for (name, value, choice) in &block.fields {
                naive.write(&mut out, name, value, *choice);
            }
            let expected: Fields =
                block.fields.iter().map(|(name, value, _)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(decode(&mut decoder, &out).unwrap(), expected);
            let entries: Fields =
                decoder.table.entries().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            prop_assert_eq!(entries, naive.entries.clone());
        }
    }
}
