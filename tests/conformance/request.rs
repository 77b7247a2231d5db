//! Requests as the tables write them, what comes of them, and the application that says what reached it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Instant;

use ambit_netns::Namespace;
use ambit_tests::http;
use ambit_tests::server::Connection;
use ambit_tests::wait::{PATIENCE, pause};

use crate::stage::stage;

/// A request of a table.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) port: u16,
    to: Option<SocketAddr>,
    of_consumer: bool,
}

/// GET of a path and query.
pub(crate) fn get(target: &str) -> Request {
    Request {
        method: "GET",
        target: target.to_owned(),
        host: "echo".to_owned(),
        headers: Vec::new(),
        port: 80,
        to: None,
        of_consumer: false,
    }
}

impl Request {
    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(crate) fn host(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    pub(crate) fn to(self, to: SocketAddr) -> Self {
        Self { to: Some(to), ..self }
    }

    /// Sent by the client of the other namespace.
    pub(crate) fn by_consumer(self) -> Self {
        Self { of_consumer: true, ..self }
    }

    fn source(&self) -> &'static Namespace {
        if self.of_consumer { stage().consumer() } else { stage().client() }
    }

    /// Sends it.
    pub(crate) fn send(&self) -> io::Result<Answer> {
        let mut stream = http::connect(self.source(), self.to.unwrap())?;
        write!(
            stream,
            "{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.method, self.target, self.host
        )?;
        for (name, value) in &self.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        write!(stream, "\r\n")?;
        let mut reader = BufReader::new(stream);
        let (line, headers) = head(&mut reader)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let mut body = String::new();
        match headers.get("transfer-encoding") {
            Some(_) => body = chunks(&mut reader)?,
            None => drop(reader.read_to_string(&mut body)?),
        }
        Ok(Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, headers, body })
    }
}

/// A response.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By name in lower case; several values of a name joined by commas.
    pub(crate) headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    /// The application that answered.
    pub(crate) fn backend(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }

    fn request_line(&self) -> &str {
        self.body.lines().nth(1).unwrap_or_default()
    }

    /// A header that reached the application.
    pub(crate) fn passed(&self, name: &str) -> Option<&str> {
        let headers = self.body.lines().skip(2).filter_map(|line| line.split_once(": "));
        headers.filter(|(each, _)| each.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// What should come of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    status: u16,
    backend: Option<&'static str>,
    target: Option<&'static str>,
    passed: Vec<(&'static str, &'static str)>,
    stripped: Vec<&'static str>,
    headers: Vec<(&'static str, String)>,
    absent: Vec<&'static str>,
}

/// 200 by this application.
pub(crate) fn by(backend: &'static str) -> Seen {
    Seen { status: 200, backend: Some(backend), ..Seen::default() }
}

/// A status without an application.
pub(crate) fn status(status: u16) -> Seen {
    Seen { status, ..Seen::default() }
}

/// A redirect to this place.
pub(crate) fn redirect(status: u16, location: &str) -> Seen {
    Seen { status, ..Seen::default() }.answered("location", location)
}

impl Seen {
    /// The application sees this path and query.
    pub(crate) fn at(self, target: &'static str) -> Self {
        Self { target: Some(target), ..self }
    }

    /// The application sees this header.
    pub(crate) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.passed.push((name, value));
        self
    }

    /// The application does not see this header.
    pub(crate) fn without(mut self, name: &'static str) -> Self {
        self.stripped.push(name);
        self
    }

    /// The client sees this header.
    pub(crate) fn answered(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The client does not see this header.
    pub(crate) fn unanswered(mut self, name: &'static str) -> Self {
        self.absent.push(name);
        self
    }

    /// What differs.
    pub(crate) fn differs(&self, answer: &Answer) -> Option<String> {
        let differs = |what: &str, is: &dyn std::fmt::Debug| Some(format!("{what} is {is:?}"));
        if answer.status != self.status {
            return differs("the status", &answer.status);
        }
        if self.backend.is_some_and(|backend| answer.backend() != backend) {
            return differs("the backend", &answer.backend());
        }
        let line = answer.request_line();
        if self.target.is_some_and(|target| line.split(' ').nth(1) != Some(target)) {
            return differs("the request", &line);
        }
        let missing = self.passed.iter().find(|(name, value)| answer.passed(name) != Some(*value));
        if let Some((name, _)) = missing {
            return differs(&format!("the request's {name}"), &answer.passed(name));
        }
        if let Some(name) = self.stripped.iter().find(|name| answer.passed(name).is_some()) {
            return differs(&format!("the request's {name}"), &answer.passed(name));
        }
        let wrong = self.headers.iter().find(|(name, value)| answer.headers.get(*name) != Some(value));
        if let Some((name, _)) = wrong {
            return differs(&format!("the answer's {name}"), &answer.headers.get(*name));
        }
        let name = self.absent.iter().find(|name| answer.headers.contains_key(**name))?;
        differs(&format!("the answer's {name}"), &answer.headers.get(*name))
    }
}

/// Sends a request until it is answered so three times in a row.
#[track_caller]
pub(crate) fn consistently(request: &Request, expected: &Seen) {
    let deadline = Instant::now() + PATIENCE;
    let mut in_a_row = 0;
    while in_a_row < 3 {
        let differs = match request.send() {
            Ok(answer) => expected.differs(&answer),
            Err(error) => Some(error.to_string()),
        };
        in_a_row = if differs.is_none() { in_a_row + 1 } else { 0 };
        if let Some(differs) = differs {
            assert!(Instant::now() < deadline, "{request:?}: {differs}; expected {expected:?}");
            pause();
        }
    }
}

/// Answers with its name, the request line and the headers, until the client ends.
pub(crate) fn serve(connection: &mut Connection, name: &str) -> io::Result<()> {
    let mut writer = connection.stream.try_clone()?;
    let mut reader = BufReader::new(connection.stream.try_clone()?);
    loop {
        let (line, headers) = match head(&mut reader) {
            Ok(head) => head,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        };
        let mut body = format!("{name}\n{line}\n");
        for (name, value) in &headers {
            body += &format!("{name}: {value}\n");
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(each, _)| *each == name)
                .map(|(_, value)| value)
        };
        if query.split('&').any(|each| each == "hang") {
            // Never answered: the client gives up.
            return io::copy(&mut reader, &mut io::sink()).map(drop);
        }
        if query == "switch" {
            write!(
                writer,
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
            )?;
            return io::copy(&mut reader, &mut writer).map(drop);
        }
        let failures = parameter("fail").and_then(|failures| failures.parse().ok()).unwrap_or(0);
        let status =
            if fails(parameter("as"), failures) { parameter("code").unwrap_or("500") } else { "200" };
        let mut answer = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\n", body.len());
        for header in query.split('&').filter_map(|pair| pair.strip_prefix("header=")) {
            answer += &format!("{}\r\n", header.replacen(':', ": ", 1));
        }
        write!(writer, "{answer}\r\n{body}")?;
    }
}

/// Whether the request of this name fails, as its first `failures` times do.
fn fails(name: Option<&str>, failures: u32) -> bool {
    static TIMES: Mutex<BTreeMap<String, u32>> = Mutex::new(BTreeMap::new());
    let Some(name) = name else { return false };
    let mut times = TIMES.lock().unwrap();
    let times = times.entry(name.to_owned()).or_default();
    *times += 1;
    *times <= failures
}

/// A line, and headers by name in lower case.
fn head(reader: &mut impl BufRead) -> io::Result<(String, BTreeMap<String, String>)> {
    let first = line(reader)?;
    if first.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let line = line(reader)?;
        let Some((name, value)) = line.split_once(':') else { return Ok((first, headers)) };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        let joined = match headers.get(&name) {
            Some(before) => format!("{before},{value}"),
            None => value.to_owned(),
        };
        headers.insert(name, joined);
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn chunks(reader: &mut impl BufRead) -> io::Result<String> {
    let mut body = Vec::new();
    loop {
        let size = usize::from_str_radix(&line(reader)?, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let mut chunk = vec![0; size];
        reader.read_exact(&mut chunk)?;
        line(reader)?;
        if size == 0 {
            return Ok(String::from_utf8_lossy(&body).into_owned());
        }
        body.append(&mut chunk);
    }
}
