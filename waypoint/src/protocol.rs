//! Is a connection HTTP? By what the service's port declares, else by the client's first bytes.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use ambit_model::service::AppProtocol;
use ambit_transport::Ahead;
use tokio::io::AsyncRead;

/// The beginning of every HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest method that is taken for one, with the space and the first letter of the target.
const MOST: usize = 32;

/// What a connection carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carries {
    /// HTTP/1.1 or 1.0.
    Http1,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Bytes.
    Tcp,
}

/// What this connection carries. Where the port says that it is HTTP, the client's version is read from its first bytes,
/// however long they take; where the port says nothing, silence for `patience` is TCP, as a server that speaks first needs.
/// What is read stays in the stream.
pub async fn carries<S: AsyncRead + Unpin>(
    stream: &mut Ahead<S>,
    declared: AppProtocol,
    patience: Duration,
) -> Carries {
    match declared {
        AppProtocol::Tcp | AppProtocol::Tls => Carries::Tcp,
        AppProtocol::Http11 | AppProtocol::Http2 | AppProtocol::Grpc => {
            peek(stream, PREFACE.len(), version).await.unwrap_or(Carries::Http1)
        }
        AppProtocol::Unknown => match tokio::time::timeout(patience, peek(stream, MOST, guess)).await {
            Ok(guessed) => guessed.unwrap_or(Carries::Tcp),
            Err(_) => Carries::Tcp,
        },
    }
}

/// Reads ahead until `decide` says something about the bytes so far; `None` where it has not when the stream ends or
/// fails, or when there are `most` of them.
pub(crate) async fn peek<S: AsyncRead + Unpin, T>(
    stream: &mut Ahead<S>,
    most: usize,
    decide: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    loop {
        let held = stream.held();
        if !held.is_empty()
            && let Some(decision) = decide(held)
        {
            return Some(decision);
        }
        if held.len() >= most || stream.ends() || stream.failed() {
            return None;
        }
        poll_fn(|cx| match stream.poll_more(cx, most) {
            Poll::Pending if !stream.failed() => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }
}

/// Of a client that speaks HTTP, the version.
fn version(bytes: &[u8]) -> Option<Carries> {
    if bytes.starts_with(PREFACE) {
        Some(Carries::Http2)
    } else if PREFACE.starts_with(bytes) {
        None
    } else {
        Some(Carries::Http1)
    }
}

/// A request line begins with a method in capitals, a space, and a target that begins with `/`, `*` or `http`. Protocols
/// of lines in capitals (SMTP, IRC, Redis) have no such second word.
fn guess(bytes: &[u8]) -> Option<Carries> {
    if bytes.starts_with(&PREFACE[..PREFACE.len().min(bytes.len())]) {
        return (bytes.len() >= PREFACE.len()).then_some(Carries::Http2);
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    if method == bytes.len() {
        return None;
    }
    if method < 3 || bytes[method] != b' ' {
        return Some(Carries::Tcp);
    }
    let target = &bytes[method + 1..];
    match target.first() {
        None => None,
        Some(b'/' | b'*') => Some(Carries::Http1),
        Some(_) if target.starts_with(b"http") => Some(Carries::Http1),
        Some(_) if b"http".starts_with(target) => None,
        Some(_) => Some(Carries::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const BOX: Duration = Duration::from_secs(1);

    /// What is said of a client that sends these bytes one by one and then waits.
    async fn of(declared: AppProtocol, bytes: &[u8]) -> Carries {
        let (mut far, near) = duplex(1);
        let mut stream = Ahead::new(near);
        let bytes = bytes.to_vec();
        let client = tokio::spawn(async move {
            far.write_all(&bytes).await.unwrap();
            std::future::pending::<()>().await;
        });
        let carries = carries(&mut stream, declared, BOX).await;
        client.abort();
        carries
    }

    #[tokio::test(start_paused = true)]
    async fn an_undeclared_port_is_told_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Carries::Http1),
            (b"PROPFIND /calendar HTTP/1.1\r\n", Carries::Http1),
            (b"OPTIONS * HTTP/1.1\r\n", Carries::Http1),
            (b"GET http://cart/ HTTP/1.1\r\n", Carries::Http1),
            (b"M-SEARCH * HTTP/1.1\r\n", Carries::Http1),
            (PREFACE, Carries::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXX", Carries::Http1),
            (b"PRIVMSG #channel :hello\r\n", Carries::Tcp),
            (b"EHLO mail.example\r\n", Carries::Tcp),
            (b"PING\r\n", Carries::Tcp),
            (b"GET key\r\n", Carries::Tcp),
            (b"GET hello\r\n", Carries::Tcp),
            (b"get / HTTP/1.1\r\n", Carries::Tcp),
            (b"\x16\x03\x01\x02\x00\x01", Carries::Tcp),
            (b"*1\r\n$4\r\nPING\r\n", Carries::Tcp),
            (b"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOP /", Carries::Tcp),
            (b"", Carries::Tcp),
            (b"GE", Carries::Tcp),
        ] {
            assert_eq!(
                of(AppProtocol::Unknown, bytes).await,
                expected,
                "{:?}",
                bytes.escape_ascii().to_string()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_declared_port_is_what_it_says() {
        assert_eq!(of(AppProtocol::Tcp, b"GET / HTTP/1.1\r\n").await, Carries::Tcp);
        assert_eq!(of(AppProtocol::Tls, PREFACE).await, Carries::Tcp);
        assert_eq!(of(AppProtocol::Http11, b"EHLO x\r\n").await, Carries::Http1);
        assert_eq!(of(AppProtocol::Http11, PREFACE).await, Carries::Http2);
        let waiting = tokio::time::timeout(100 * BOX, of(AppProtocol::Grpc, b"P"));
        waiting.await.expect_err("a client of a declared port may take its time");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_from_the_stream() {
        let (mut far, near) = duplex(64);
        let mut stream = Ahead::new(near);
        far.write_all(b"hello").await.unwrap();
        drop(far);
        assert_eq!(carries(&mut stream, AppProtocol::Unknown, BOX).await, Carries::Tcp);
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        assert_eq!(all, "hello");
    }
}
