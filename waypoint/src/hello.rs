//! Which server does a TLS client ask for? Read from its first message, which stays in the stream (RFC 8446 section 4.1.2,
//! RFC 6066 section 3).

use std::time::Duration;

use ambit_model::Text;
use ambit_transport::Ahead;
use tokio::io::AsyncRead;

use crate::protocol::peek;

/// Longest first message that is read: with keys of post-quantum algorithms it has a few KiB.
const MOST: usize = 16 * 1024;
/// Longest wait for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The server name, in lower case; `None` where the client names none, speaks no TLS, or takes too long.
pub async fn server_name<S: AsyncRead + Unpin>(stream: &mut Ahead<S>) -> Option<Text> {
    let reading = peek(stream, MOST, |bytes| match read(bytes) {
        Read::More => None,
        Read::Name(name) => Some(Some(name)),
        Read::Nothing => Some(None),
    });
    tokio::time::timeout(PATIENCE, reading).await.ok().flatten().flatten()
}

/// What the bytes so far say.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    More,
    Name(Text),
    Nothing,
}

fn read(bytes: &[u8]) -> Read {
    let Some((message, whole)) = handshake(bytes) else { return Read::Nothing };
    let mut hello = Bytes(&message);
    match name(&mut hello) {
        Ok(Some(name)) => Read::Name(name),
        Ok(None) => Read::Nothing,
        Err(Ends) if whole => Read::Nothing,
        Err(Ends) => Read::More,
    }
}

/// The handshake messages in the records so far, and whether no more belong to the first; `None` where it is no TLS.
fn handshake(bytes: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut message = Vec::new();
    let mut rest = Bytes(bytes);
    while let Ok(kind) = rest.byte() {
        let Ok(version) = rest.byte() else { return (kind == 22).then_some((message, false)) };
        if kind != 22 || version != 3 {
            return None;
        }
        let Ok(_minor) = rest.byte() else { break };
        let Ok(length) = rest.length(2) else { break };
        match rest.take(length) {
            Ok(part) => message.extend_from_slice(part),
            Err(Ends) => {
                message.extend_from_slice(rest.0);
                break;
            }
        }
        if is_whole(&message) {
            return Some((message, true));
        }
    }
    let whole = is_whole(&message);
    Some((message, whole))
}

fn is_whole(message: &[u8]) -> bool {
    let mut head = Bytes(message);
    match (head.byte(), head.length(3)) {
        (Ok(_), Ok(length)) => head.0.len() >= length,
        _ => false,
    }
}

fn name(hello: &mut Bytes<'_>) -> Result<Option<Text>, Ends> {
    if hello.byte()? != 1 {
        return Ok(None);
    }
    // Length, version, random; then session, cipher suites and compression methods.
    hello.take(3 + 2 + 32)?;
    for size in [1, 2, 1] {
        let length = hello.length(size)?;
        hello.take(length)?;
    }
    let mut left = hello.length(2)?;
    while left >= 4 {
        let kind = hello.length(2)?;
        let length = hello.length(2)?;
        let extension = hello.take(length)?;
        if kind == 0 {
            return Ok(named(&mut Bytes(extension)).unwrap_or(None));
        }
        left = left.saturating_sub(4 + length);
    }
    Ok(None)
}

fn named(extension: &mut Bytes<'_>) -> Result<Option<Text>, Ends> {
    let length = extension.length(2)?;
    let mut names = Bytes(extension.take(length)?);
    let kind = names.byte()?;
    let length = names.length(2)?;
    let name = names.take(length)?;
    let text = std::str::from_utf8(name).ok().filter(|text| kind == 0 && text.is_ascii());
    Ok(text
        .map(|text| text.trim_end_matches('.').to_ascii_lowercase().into())
        .filter(|text: &Text| !text.is_empty()))
}

/// There are no more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends;

struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn byte(&mut self) -> Result<u8, Ends> {
        let (first, rest) = self.0.split_first().ok_or(Ends)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number of so many bytes.
    fn length(&mut self, size: usize) -> Result<usize, Ends> {
        let bytes = self.take(size)?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn take(&mut self, length: usize) -> Result<&'b [u8], Ends> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Ends)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A first message that asks for this name, in records of so many bytes.
    fn hello(name: &str, record: usize) -> Vec<u8> {
        let sized = |size: usize, bytes: &[u8]| {
            let length = bytes.len().to_be_bytes();
            [&length[length.len() - size..], bytes].concat()
        };
        let names = sized(2, &[&[0][..], &sized(2, name.as_bytes())].concat());
        let other = [&[0, 43][..], &sized(2, &[2, 3, 4])].concat();
        let extensions = [other, [&[0, 0][..], &sized(2, &names)].concat()].concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &sized(1, &[1; 32]),
            &sized(2, &[19, 1]),
            &sized(1, &[0]),
            &sized(2, &extensions),
        ];
        let message = [&[1][..], &sized(3, &body.concat())].concat();
        message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &sized(2, part)].concat()).collect()
    }

    #[test]
    fn the_name_is_read_however_it_comes() {
        for record in [usize::MAX, 100, 7, 1] {
            let bytes = hello("DB.Example.", record);
            assert_eq!(read(&bytes), Read::Name("db.example".into()), "{record}");
            let early = (0..bytes.len()).filter(|end| read(&bytes[..*end]) == Read::Nothing).count();
            assert_eq!(early, 0, "{record}: it is waited for");
        }
        assert_eq!(read(&hello("", 100)), Read::Nothing);
        for other in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[22, 2],
            &[23, 3, 1],
            &[22, 3, 1, 0, 1, 2, 22, 3, 1, 0, 4, 0, 0, 0, 0],
        ] {
            assert_eq!(read(other), Read::Nothing, "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_are_read(mut bytes: Vec<u8>, tls: bool, at: prop::sample::Index, byte: u8) {
            if tls {
                bytes = hello("db.example", 60);
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            read(&bytes);
        }
    }
}
