//! One line of HTTP/1, without its CR and LF: is it well formed, and what does it say about framing? (RFC 9112)

use super::Fault;

/// Digits of the longest size of a chunk.
const SIZE_DIGITS: usize = 15;
/// Digits of the longest Content-Length.
const LENGTH_DIGITS: usize = 19;

/// What a request line says about framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestLine {
    /// HTTP/1.1, not 1.0.
    pub(super) version_11: bool,
    /// CONNECT has no body.
    pub(super) connect: bool,
    /// TRACE must not have one (RFC 9110 section 9.3.8).
    pub(super) trace: bool,
}

/// What a header says about framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    Length(u64),
    Chunked,
    Host,
    Other,
}

/// `METHOD target HTTP/1.1`, with one space between and none within.
pub(super) fn request(line: &[u8]) -> Result<RequestLine, Fault> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::RequestLine);
    };
    // Octets beyond ASCII are left to the canonical path, which escapes them.
    let visible = |byte: &u8| *byte > b' ' && *byte != 0x7f;
    if !is_token(method) || target.is_empty() || !target.iter().all(visible) {
        return Err(Fault::RequestLine);
    }
    let version_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return Err(Fault::RequestLine),
    };
    Ok(RequestLine { version_11, connect: method == b"CONNECT", trace: method == b"TRACE" })
}

/// `name: value`. A line that begins with a space (obs-fold), or has one before its colon, has no name.
pub(super) fn header(line: &[u8]) -> Result<Header, Fault> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Fault::HeaderLine)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Fault::HeaderLine);
    }
    if value.iter().any(|byte| is_control(*byte)) {
        return Err(Fault::Octet);
    }
    let value = trim(value);
    if name.eq_ignore_ascii_case(b"content-length") {
        length(value).map(Header::Length)
    } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
        if value.eq_ignore_ascii_case(b"chunked") { Ok(Header::Chunked) } else { Err(Fault::Coding) }
    } else if name.eq_ignore_ascii_case(b"host") {
        Ok(Header::Host)
    } else {
        Ok(Header::Other)
    }
}

/// The size of a chunk: hexadecimal digits alone, then nothing, or extensions of visible characters.
pub(super) fn chunk(line: &[u8]) -> Result<u64, Fault> {
    let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
    let (digits, extensions) = line.split_at(end);
    if digits.is_empty() || digits.len() > SIZE_DIGITS || extensions.iter().any(|byte| is_control(*byte)) {
        return Err(Fault::Chunk);
    }
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(u64::from);
    digits.iter().try_fold(0, |size, byte| Some(size << 4 | digit(byte)?)).ok_or(Fault::Chunk)
}

fn length(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() || value.len() > LENGTH_DIGITS || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::Length);
    }
    let digits = value.iter().map(|byte| u64::from(byte - b'0'));
    // 19 digits fit.
    Ok(digits.fold(0, |length, digit| length * 10 + digit))
}

fn trim(value: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = value.iter().position(|byte| !space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !space(byte)).map_or(begin, |last| last + 1);
    &value[begin..end]
}

fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// RFC 9110 section 5.6.2.
fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_line_has_three_parts() {
        let said = |version_11, connect, trace| Ok(RequestLine { version_11, connect, trace });
        for (line, expected) in [
            (&b"GET / HTTP/1.1"[..], said(true, false, false)),
            (b"POST http://cart/?a=b HTTP/1.0", said(false, false, false)),
            (b"CONNECT cart:80 HTTP/1.1", said(true, true, false)),
            (b"TRACE / HTTP/1.1", said(true, false, true)),
            (b"GET  / HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET /  HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET / HTTP/1.1 ", Err(Fault::RequestLine)),
            (b" GET / HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET\t/ HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET /\tx HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET /a b HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET / HTTP/1.2", Err(Fault::RequestLine)),
            (b"GET / HTTP/2.0", Err(Fault::RequestLine)),
            (b"GET / http/1.1", Err(Fault::RequestLine)),
            (b"GET /", Err(Fault::RequestLine)),
            (b"G\x00T / HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET /\x00 HTTP/1.1", Err(Fault::RequestLine)),
            (b"GET /\x7f HTTP/1.1", Err(Fault::RequestLine)),
            (b"(GET) / HTTP/1.1", Err(Fault::RequestLine)),
        ] {
            assert_eq!(request(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_header_says_one_thing() {
        for (line, expected) in [
            (&b"Host: a"[..], Ok(Header::Host)),
            (b"x-a:", Ok(Header::Other)),
            (b"x-a: caf\xc3\xa9\ttoo", Ok(Header::Other)),
            (b"Content-Length:\t 12 ", Ok(Header::Length(12))),
            (b"content-length: 9999999999999999999", Ok(Header::Length(9_999_999_999_999_999_999))),
            (b"content-length: 99999999999999999999", Err(Fault::Length)),
            (b"content-length: +1", Err(Fault::Length)),
            (b"content-length: -1", Err(Fault::Length)),
            (b"content-length: 0x1", Err(Fault::Length)),
            (b"content-length: 1 1", Err(Fault::Length)),
            (b"content-length: 1, 1", Err(Fault::Length)),
            (b"content-length:", Err(Fault::Length)),
            (b"Transfer-Encoding: Chunked", Ok(Header::Chunked)),
            (b"transfer-encoding: chunked, identity", Err(Fault::Coding)),
            (b"transfer-encoding: gzip, chunked", Err(Fault::Coding)),
            (b"transfer-encoding: xchunked", Err(Fault::Coding)),
            (b"transfer-encoding: \"chunked\"", Err(Fault::Coding)),
            (b"transfer-encoding: chunked;a", Err(Fault::Coding)),
            (b"transfer-encoding:\x0bchunked", Err(Fault::Octet)),
            (b"transfer-encoding:", Err(Fault::Coding)),
            (b"Host : a", Err(Fault::HeaderLine)),
            (b" folded: a", Err(Fault::HeaderLine)),
            (b"\tfolded: a", Err(Fault::HeaderLine)),
            (b": a", Err(Fault::HeaderLine)),
            (b"no colon", Err(Fault::HeaderLine)),
            (b"x-a: b\x00c", Err(Fault::Octet)),
            (b"x-a: b\rc", Err(Fault::Octet)),
            (b"x-a: b\x7f", Err(Fault::Octet)),
        ] {
            assert_eq!(header(line), expected, "{}", line.escape_ascii());
        }
    }

    #[test]
    fn a_chunk_says_its_size() {
        for (line, expected) in [
            (&b"0"[..], Ok(0)),
            (b"fF", Ok(255)),
            (b"000a;name=\"value\"", Ok(10)),
            (b"fffffffffffffff", Ok(0xfff_ffff_ffff_ffff)),
            (b"1000000000000000", Err(Fault::Chunk)),
            (b"", Err(Fault::Chunk)),
            (b";a", Err(Fault::Chunk)),
            (b"5 ", Err(Fault::Chunk)),
            (b" 5", Err(Fault::Chunk)),
            (b"5 ;a", Err(Fault::Chunk)),
            (b"+5", Err(Fault::Chunk)),
            (b"-5", Err(Fault::Chunk)),
            (b"0x5", Err(Fault::Chunk)),
            (b"5g", Err(Fault::Chunk)),
            (b"5;a\x00", Err(Fault::Chunk)),
            (b"5;a\r", Err(Fault::Chunk)),
        ] {
            assert_eq!(chunk(line), expected, "{}", line.escape_ascii());
        }
    }
}
