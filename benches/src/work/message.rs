//! The HTTP messages of the bench: written and taken apart without a library, so that they cost next to nothing.

use super::pattern::mix;

/// Bytes in the body of a small answer.
pub const BODY: usize = 128;
/// Longest head of a message that is accepted.
const HEAD: usize = 16 * 1024;

/// Why a message is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// The head does not end.
    #[error("a head of more than {HEAD} bytes")]
    Long,
    /// Not HTTP/1.1, or no length.
    #[error("a head that cannot be read: {0:?}")]
    Head(String),
    /// Another status than 200.
    #[error("answered {0}")]
    Status(String),
    /// Another body than asked for.
    #[error("another body than the one that belongs to request {0:x}")]
    Body(u64),
    /// More bytes than belong to the answer.
    #[error("{0} bytes more than the answer")]
    More(usize),
}

/// The head of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its first line.
    pub line: String,
    /// Bytes of the body that follows.
    pub body: u64,
    /// Bytes of the head.
    pub length: usize,
}

/// Reads a head; `None` while it is incomplete.
pub fn head(bytes: &[u8]) -> Result<Option<Head>, Unexpected> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > HEAD { Err(Unexpected::Long) } else { Ok(None) };
    };
    let text = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let mut lines = text.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    let named = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let fields: Vec<_> = lines.filter_map(named).collect();
    let of = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let body = of("content-length").map_or(Ok(0), str::parse);
    let (Ok(body), None, true) = (body, of("transfer-encoding"), line.contains("HTTP/1.1")) else {
        return Err(Unexpected::Head(text.into_owned()));
    };
    Ok(Some(Head { line, body, length: end + 4 }))
}

/// A small request.
pub fn write_request(id: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(b"GET /small/");
    into.extend_from_slice(format!("{id:016x}").as_bytes());
    into.extend_from_slice(b" HTTP/1.1\r\nHost: bench\r\nUser-Agent: ambit-bench\r\nAccept: */*\r\n\r\n");
}

/// The head of an answer.
pub fn answer_head(length: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n")
}

/// The small answer to a request, whole.
pub fn write_answer(id: u64, into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 128\r\n\r\n",
    );
    into.extend(body(id));
}

/// The body that belongs to a request.
fn body(id: u64) -> impl Iterator<Item = u8> {
    (0..(BODY / 8) as u64).flat_map(move |index| mix(id ^ (index << 56)).to_le_bytes())
}

/// Checks a small answer. `Ok(false)` while it is incomplete.
pub fn check_answer(id: u64, bytes: &[u8]) -> Result<bool, Unexpected> {
    let Some(head) = head(bytes)? else { return Ok(false) };
    check_status(&head)?;
    if head.body != BODY as u64 {
        return Err(Unexpected::Body(id));
    }
    let whole = head.length + BODY;
    match bytes.len() {
        length if length < whole => Ok(false),
        length if length > whole => Err(Unexpected::More(length - whole)),
        _ if bytes.iter().skip(head.length).copied().eq(body(id)) => Ok(true),
        _ => Err(Unexpected::Body(id)),
    }
}

/// Whether an answer is a 200.
pub fn check_status(head: &Head) -> Result<(), Unexpected> {
    if head.line.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(Unexpected::Status(head.line.clone())) }
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The small answer to this request.
    Small(u64),
    /// To take the body, which is the stream of this number.
    Sink(u64),
    /// To send so many bytes of the stream of this number.
    Source(u64, u64),
}

/// Reads the first line of a request.
pub fn asked(head: &Head) -> Option<Asked> {
    let mut words = head.line.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let mut parts = path.strip_prefix('/')?.split('/');
    let what = parts.next()?;
    let id = u64::from_str_radix(parts.next()?, 16).ok()?;
    match (method, what) {
        ("GET", "small") => Some(Asked::Small(id)),
        ("POST", "sink") => Some(Asked::Sink(id)),
        ("GET", "source") => Some(Asked::Source(id, parts.next()?.parse().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(id: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_answer(id, &mut bytes);
        bytes
    }

    #[test]
    fn a_request_is_understood_and_its_answer_accepted() {
        let mut bytes = Vec::new();
        write_request(77, &mut bytes);
        assert_eq!(asked(&head(&bytes).unwrap().unwrap()), Some(Asked::Small(77)));
        let answer = answer(77);
        for end in 0..answer.len() {
            assert_eq!(check_answer(77, &answer[..end]), Ok(false), "incomplete at {end}");
        }
        assert_eq!(check_answer(77, &answer), Ok(true));
    }

    #[test]
    fn an_answer_that_passed_a_proxy_is_accepted() {
        let text = String::from_utf8_lossy(&answer(5)[..answer(5).len() - BODY]).into_owned();
        let mut bytes =
            text.replace("Content-Length", "content-length").replace("\r\n\r\n", "\r\nserver: envoy\r\n\r\n");
        bytes.truncate(bytes.len());
        let mut bytes = bytes.into_bytes();
        bytes.extend(body(5));
        assert_eq!(check_answer(5, &bytes), Ok(true));
    }

    #[test]
    fn every_wrong_answer_is_refused() {
        assert_eq!(check_answer(78, &answer(77)), Err(Unexpected::Body(78)), "of another request");
        let mut wrong = answer(77);
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(check_answer(77, &wrong), Err(Unexpected::Body(77)));
        let mut more = answer(77);
        more.push(0);
        assert_eq!(check_answer(77, &more), Err(Unexpected::More(1)));
        let refused = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        assert!(matches!(check_answer(77, refused), Err(Unexpected::Status(_))));
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        assert!(matches!(check_answer(77, chunked), Err(Unexpected::Head(_))));
    }
}
