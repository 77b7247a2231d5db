//! What RFC 7541 forbids, and the bounds on what a peer can cost.

use proptest::prelude::*;

use super::{DEFAULT_TABLE, Decoder, Error, decode, decode_within};
use crate::engine::hpack::{encode, encode_size_update, huffman, integer};

fn compression(block: &[u8]) -> &'static str {
    match decode(&mut Decoder::new(DEFAULT_TABLE), block) {
        Err(Error::Compression(what)) => what,
        other => panic!("{block:x?}: {other:?}"),
    }
}

#[test]
fn truncated_blocks_are_errors() {
    let whole = [0x40, 3, b'k', b'e', b'y', 5, b'v', b'a', b'l', b'u', b'e'];
    assert!(decode(&mut Decoder::new(DEFAULT_TABLE), &whole).is_ok());
    for end in 1..whole.len() {
        compression(&whole[..end]);
    }
    assert!(decode(&mut Decoder::new(DEFAULT_TABLE), &[]).unwrap().is_empty());
}

#[test]
fn indexes_outside_the_table_are_errors() {
    for block in
        [&[0x80][..], &[0x80 | 62], &[0x40 | 62, 1, b'v'], &[0x0f, 62 - 15, 1, b'v'], &[0xff, 0xff, 0x7f]]
    {
        assert_eq!(compression(block), "an index outside the table");
    }
}

#[test]
fn integers_end_at_32_bits() {
    let size = |octets: &[u8]| integer::decode(octets, 7).map(|(value, _)| value);
    assert_eq!(size(&[0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX as usize));
    assert_eq!(size(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0]), Ok(0x7f));
    for octets in [&[0x7f, 0x81, 0xff, 0xff, 0xff, 0x0f][..], &[0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0]] {
        assert!(size(octets).is_err());
    }
    compression(&[0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
}

#[test]
fn huffman_padding_is_short_and_of_ones() {
    let coded = |octets: &[u8]| {
        let mut out = Vec::new();
        huffman::decode(octets, &mut out).map(|()| out)
    };
    // 'a' is 00011.
    assert_eq!(coded(&[0b0001_1111]).unwrap(), b"a");
    assert_eq!(coded(&[]).unwrap(), b"");
    for wrong in [&[0b0001_1000][..], &[0b0001_1110], &[0b0001_1111, 0xff], &[0xff], &[0xff, 0xff, 0xff]] {
        assert!(coded(wrong).is_err(), "{wrong:x?}");
    }
    // EOS is thirty ones.
    assert_eq!(coded(&[0xff; 4]), Err(Error::Compression("an end of string inside a string")));
    assert!(coded(&[0b0001_1111, 0xff, 0xff, 0xff, 0xff]).is_err());
}

#[test]
fn size_updates_come_first_and_stay_in_the_limit() {
    let mut block = Vec::new();
    encode_size_update(&mut block, 0);
    encode_size_update(&mut block, DEFAULT_TABLE);
    block.push(0x82);
    assert_eq!(decode(&mut Decoder::new(DEFAULT_TABLE), &block).unwrap().len(), 1);
    encode_size_update(&mut block, 0);
    assert_eq!(compression(&block), "a table size update behind a field");
    block.clear();
    encode_size_update(&mut block, DEFAULT_TABLE + 1);
    assert_eq!(compression(&block), "a table above its acknowledged size");
    assert!(decode(&mut Decoder::new(DEFAULT_TABLE + 1), &block).is_ok());
}

#[test]
fn an_acknowledged_reduction_must_be_followed_in_the_next_block() {
    let add = [0x40, 1, b'k', 1, b'v'];
    let after = |sizes: &[usize], block: &[u8]| {
        let mut decoder = Decoder::new(DEFAULT_TABLE);
        decode(&mut decoder, &add).unwrap();
        for size in sizes {
            decoder.set_max_table(*size);
        }
        decode(&mut decoder, block).map(|_| decoder.table.entries().len())
    };
    let update = |sizes: &[usize]| {
        let mut block = Vec::new();
        sizes.iter().for_each(|size| encode_size_update(&mut block, *size));
        block
    };
    let late = Err(Error::Compression("no table size update after its reduction"));
    assert_eq!(after(&[100], &[0x82]), late);
    assert_eq!(after(&[100], &update(&[100])), Ok(1));
    assert_eq!(after(&[100], &update(&[33])), Ok(0));
    assert_eq!(after(&[100], &update(&[101])).map_err(drop), Err(()));
    // Of two, the smaller must have been followed.
    assert_eq!(after(&[0, 8192], &[0x82]), late);
    assert_eq!(after(&[0, 8192], &update(&[8192])).map_err(drop), Err(()));
    assert_eq!(after(&[0, 8192], &update(&[0, 8192])), Ok(0));
    // Nothing was taken away.
    assert_eq!(after(&[8192], &[0x82]), Ok(1));
    assert_eq!(after(&[8192, DEFAULT_TABLE], &[0x82]), Ok(1));
}

#[test]
fn an_entry_above_the_table_empties_it() {
    let mut decoder = Decoder::new(64);
    decode(&mut decoder, &[0x40, 1, b'k', 1, b'v']).unwrap();
    assert_eq!(decoder.table.entries().len(), 1);
    let mut large = vec![0x40, 1, b'k', 32];
    large.extend([b'v'; 32]);
    assert_eq!(decode(&mut decoder, &large).unwrap().len(), 1);
    assert_eq!((decoder.table.entries().len(), decoder.table.size()), (0, 0));
}

#[test]
fn a_name_survives_the_eviction_that_it_causes() {
    let mut decoder = Decoder::new(34);
    decode(&mut decoder, &[0x40, 1, b'k', 1, b'v']).unwrap();
    let fields = decode(&mut decoder, &[0x40 | 62 & 0x3f, 1, b'w', 0x80 | 62]).unwrap();
    assert_eq!(fields, [(b"k".to_vec(), b"w".to_vec()), (b"k".to_vec(), b"w".to_vec())]);
}

#[test]
fn r4_a_list_that_swells_is_not_emitted_and_the_table_follows() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    // One field of 4 KB into the table, then thousands of references to it, then one more field into the table.
    let mut block = vec![0x40, 1, b'c'];
    integer::encode(&mut block, 0, 7, 3900);
    block.extend([b'x'; 3900]);
    block.extend([0x80 | 62; 10_000]);
    block.extend([0x40, 1, b'k', 1, b'v']);
    let (fields, result) = decode_within(&mut decoder, &block, 16 * 1024);
    assert_eq!(result, Err(Error::TooLarge(16 * 1024)));
    assert_eq!(fields.len(), 4, "4 * (1 + 3900 + 32) < 16384 < 5 * (1 + 3900 + 32)");
    assert_eq!(decode(&mut decoder, &[0x80 | 62]).unwrap(), [(b"k".to_vec(), b"v".to_vec())]);
    // A small field behind one that did not fit is not emitted either.
    let (fields, result) = decode_within(&mut decoder, &[0x80 | 63, 0x80 | 62], 100);
    assert_eq!((fields.len(), result), (0, Err(Error::TooLarge(100))));
    // The fault of the connection prevails over the fault of the list.
    let (_, result) = decode_within(&mut decoder, &[0x80 | 63, 0x80], 100);
    assert!(matches!(result, Err(Error::Compression(_))));
}

#[test]
fn the_list_is_counted_as_in_rfc_9113() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    // ":method: GET" is 7 + 3 + 32.
    assert_eq!(decode_within(&mut decoder, &[0x82], 42).1, Ok(()));
    assert_eq!(decode_within(&mut decoder, &[0x82], 41).1, Err(Error::TooLarge(41)));
}

#[test]
fn a_name_of_the_table_is_shared_and_not_copied() {
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    let mut block = vec![0x40];
    integer::encode(&mut block, 0, 7, 1900);
    block.extend([b'n'; 1900]);
    block.extend([0, 0x40 | 62, 0]);
    decode(&mut decoder, &block).unwrap();
    let names: Vec<_> = decoder.table.entries().map(|(name, _)| name.as_ptr()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], names[1]);
}

#[test]
fn the_encoder_uses_the_static_table() {
    let encoded = |name: &str, value: &str| {
        let mut out = Vec::new();
        encode(&mut out, name.as_bytes(), value.as_bytes());
        out
    };
    assert_eq!(encoded(":status", "200"), [0x88]);
    assert_eq!(encoded(":status", "401"), [8, 3, b'4', b'0', b'1']);
    assert_eq!(encoded(":method", "CONNECT"), [2, 7, b'C', b'O', b'N', b'N', b'E', b'C', b'T']);
    assert_eq!(encoded(":authority", "a:1"), [1, 3, b'a', b':', b'1']);
    assert_eq!(encoded("via", "x"), [0x0f, 60 - 15, 1, b'x']);
    assert_eq!(encoded("k", "v"), [0, 1, b'k', 1, b'v']);
    assert_eq!(encoded("server", ""), [0x80 | 54]);
}

proptest! {
    #[test]
    fn any_bytes_end_within_the_bounds(
        limit in 0usize..10_000,
        blocks in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 1..8),
    ) {
        let mut decoder = Decoder::new(limit);
        for (acknowledge, block) in blocks {
            if acknowledge {
                decoder.set_max_table(limit / 2);
            }
            let mut emitted = 0;
            let result = decoder.decode(&block, 5_000, &mut |name, value| {
                emitted += name.len() + value.len() + 32;
            });
            prop_assert!(emitted <= 5_000);
            let table = &decoder.table;
            let entries = table.entries().map(|(name, value)| name.len() + value.len() + 32);
            prop_assert_eq!(entries.sum::<usize>(), table.size());
            prop_assert!(table.size() <= table.capacity() && table.capacity() <= limit.max(DEFAULT_TABLE));
            if matches!(result, Err(Error::Compression(_))) {
                break;
            }
        }
    }

    #[test]
    fn what_is_encoded_is_decoded(
        fields in prop::collection::vec(("[a-z:-]{0,12}", prop::collection::vec(any::<u8>(), 0..300)), 0..10),
        resize in any::<bool>(),
    ) {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
        let mut block = Vec::new();
        if resize {
            encode_size_update(&mut block, 0);
        }
        fields.iter().for_each(|(name, value)| encode(&mut block, name, value));
        let mut decoder = Decoder::new(DEFAULT_TABLE);
        prop_assert_eq!(decode(&mut decoder, &block).unwrap(), fields);
        prop_assert_eq!(decoder.table.entries().len(), 0);
    }

    #[test]
    fn huffman_survives(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let (mut coded, mut decoded) = (Vec::new(), Vec::new());
        huffman::encode(&octets, &mut coded);
        huffman::decode(&coded, &mut decoded).unwrap();
        prop_assert_eq!(decoded, octets);
    }

    /// A code has one form: what decodes is what the encoder would have made of it.
    #[test]
    fn huffman_has_one_form(coded in prop::collection::vec(any::<u8>(), 0..12)) {
        let (mut decoded, mut again) = (Vec::new(), Vec::new());
        if huffman::decode(&coded, &mut decoded).is_ok() {
            prop_assert!(decoded.capacity() <= coded.len() * 8 / 5 + 8);
            huffman::encode(&decoded, &mut again);
            prop_assert_eq!(again, coded);
        }
    }
}
