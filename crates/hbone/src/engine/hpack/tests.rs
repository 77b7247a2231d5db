//! The decoder against the RFC's examples, its rules, a model of every encoder, and a foreign encoder.

mod against_h2;
mod examples;
mod model;
mod rules;

use super::{DEFAULT_TABLE, Decoder, Error};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn decode_within(decoder: &mut Decoder, block: &[u8], max_list: usize) -> (Fields, Result<(), Error>) {
    let mut fields = Vec::new();
    let result =
        decoder.decode(block, max_list, &mut |name, value| fields.push((name.to_vec(), value.to_vec())));
    (fields, result)
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Fields, Error> {
    let (fields, result) = decode_within(decoder, block, usize::MAX);
    result.map(|()| fields)
}
