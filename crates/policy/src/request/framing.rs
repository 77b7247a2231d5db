//! Would another HTTP implementation see the same message? (RFC 9112 sections 6 and 11.2, RFC 9113 section 8.2.2)

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Version};

use super::canonical::Refusal;

/// Refuses headers by which two implementations could see two different messages.
pub(super) fn check(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    check_length(headers)?;
    if headers.get_all(HOST).iter().nth(1).is_some() {
        return Err(Refusal::SeveralHosts);
    }
    if version >= Version::HTTP_2 {
        let connection =
            [CONNECTION, TRANSFER_ENCODING, UPGRADE].iter().any(|name| headers.contains_key(name));
        let nominated = headers.contains_key("keep-alive") || headers.contains_key("proxy-connection");
        let te = headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers"));
        return if connection || nominated || te { Err(Refusal::ConnectionHeader) } else { Ok(()) };
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = codings.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if headers.contains_key(CONTENT_LENGTH) || version < Version::HTTP_11 {
            return Err(Refusal::TwoLengths);
        }
        if !chunked || codings.next().is_some() {
            return Err(Refusal::TransferCoding);
        }
    }
    Ok(())
}

fn check_length(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(()) };
    let digits = first.as_bytes();
    if lengths.next().is_some()
        || digits.is_empty()
        || digits.len() > 19
        || !digits.iter().all(u8::is_ascii_digit)
    {
        return Err(Refusal::TwoLengths);
    }
    Ok(())
}
