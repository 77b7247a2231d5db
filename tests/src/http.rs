//! The least HTTP/1.1 that the tests need, over blocking sockets.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ambit_netns::Namespace;

/// Longest wait for a connection and for each read.
pub const PATIENCE: Duration = Duration::from_secs(25);

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body.
    pub body: String,
}

/// Connects from inside a namespace.
pub fn connect(from: &Namespace, to: SocketAddr) -> io::Result<TcpStream> {
    let stream = from.run(|| TcpStream::connect_timeout(&to, PATIENCE)).unwrap()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One request on a connection of its own.
pub fn get(from: &Namespace, to: SocketAddr, path: &str) -> io::Result<Answer> {
    ask(&mut connect(from, to)?, to, path)
}

/// One request on an open connection, which can be used again.
pub fn ask(stream: &mut TcpStream, to: SocketAddr, path: &str) -> io::Result<Answer> {
    ask_host(stream, &to.to_string(), path)
}

/// The same of a host that has a name.
pub fn ask_host(stream: &mut TcpStream, host: &str, path: &str) -> io::Result<Answer> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let status = line(&mut reader)?.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let body = match headers(&mut reader)? {
        Some(length) => exactly(&mut reader, length)?,
        None => chunks(&mut reader)?,
    };
    Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
}

/// Answers requests on a connection, each with what `answer` makes of its path, until the client closes it.
pub fn respond(stream: &TcpStream, answer: impl Fn(&str) -> String) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let request = line(&mut reader)?;
        if request.is_empty() {
            return Ok(());
        }
        headers(&mut reader)?;
        let body = answer(request.split(' ').nth(1).unwrap_or_default());
        let mut stream = stream;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn exactly(reader: &mut impl BufRead, length: usize) -> io::Result<Vec<u8>> {
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// A body in chunks (RFC 9112, section 7.1), without extensions and trailers.
fn chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let length = usize::from_str_radix(&line(reader)?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        body.append(&mut exactly(reader, length)?);
        line(reader)?;
        if length == 0 {
            return Ok(body);
        }
    }
}

/// Reads the headers; gives the length of the body, `None` when it comes in chunks.
fn headers(reader: &mut impl BufRead) -> io::Result<Option<usize>> {
    let mut length = Some(0);
    loop {
        let header = line(reader)?.to_lowercase();
        if header.is_empty() {
            return Ok(length);
        }
        if header.starts_with("transfer-encoding:") {
            length = None;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = Some(value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?);
        }
    }
}
