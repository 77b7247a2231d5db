//! Integers with a prefix (RFC 7541 section 5.1).

use super::Error;

/// Octets behind the prefix that are followed: enough for 32 bits.
const MOST_OCTETS: usize = 5;

/// The integer in the low `prefix` bits (1 to 8) of the first octet and in those behind it; gives also what follows.
pub(super) fn decode(input: &[u8], prefix: u32) -> Result<(usize, &[u8]), Error> {
    let Some((first, mut rest)) = input.split_first() else { return Err(TRUNCATED) };
    let mask = u8::MAX >> (8 - prefix);
    let mut value = u64::from(first & mask);
    if value < u64::from(mask) {
        return Ok((usize::from(first & mask), rest));
    }
    for at in 0..MOST_OCTETS {
        let Some((octet, after)) = rest.split_first() else { return Err(TRUNCATED) };
        value += u64::from(octet & 0x7f) << (7 * at);
        rest = after;
        if octet & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| TOO_LARGE)?;
            return Ok((usize::try_from(value).map_err(|_| TOO_LARGE)?, rest));
        }
    }
    Err(TOO_LARGE)
}

const TRUNCATED: Error = Error::Compression("an integer beyond the end of the block");
const TOO_LARGE: Error = Error::Compression("an integer of more than 32 bits");

/// Appends `value` behind the bits of `first` that lie above the prefix.
pub(super) fn encode(out: &mut Vec<u8>, first: u8, prefix: u32, value: usize) {
    let mask = u8::MAX >> (8 - prefix);
    match u8::try_from(value) {
        Ok(small) if small < mask => return out.push(first | small),
        _ => out.push(first | mask),
    }
    let mut rest = value - usize::from(mask);
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
