//! Our side of a played conversation: what the lines `*` of a transcript do.

#![allow(dead_code)] // Each test file uses its part.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_hbone::{Connection, Incoming, OpenError, ResponseHead, Stream};
use ambit_transport::{Mode, drain};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::engines::{Engine, carrier, client_settings, server_settings};
use crate::raw::{PREFACE, Raw};
use crate::transcript::{play, quoted};
use crate::tunnel::{self, PIPE};

/// More than a closed tunnel waits for its peer, less than any timer of a living one. In paused time it passes at once
/// when nothing else can happen.
const STUCK: Duration = Duration::from_secs(8);

/// A client opens stream 1, and we serve it.
pub(crate) const SERVED: &str = "
    > PREFACE
    > SETTINGS
    < SETTINGS
    < SETTINGS ACK
    > SETTINGS ACK
    > HEADERS 1 END_HEADERS 020743 4f4e 4e45 4354 010b 3130 2e30 2e30 2e32 3a38 30
    * asked 1 10.0.0.2:80
    * accept 1
    < HEADERS 1 END_HEADERS 88
";

/// We open streams 1 and 3; 3 is not yet answered.
pub(crate) const DIALLED: &str = "
    > SETTINGS
    > SETTINGS ACK
    < SETTINGS
    < SETTINGS ACK
* up
    * open 1 10.0.0.2:80
    < HEADERS 1 END_HEADERS
    > HEADERS 1 END_HEADERS 88
    * opened 1
    * open 3 10.0.0.2:80
    < HEADERS 3 END_HEADERS
";

type Opened = Result<(Stream, ResponseHead), OpenError>;

/// Streams by number, in whatever state they are, and the connection they are in.
pub(crate) struct Side {
    asked: mpsc::UnboundedReceiver<Incoming>,
    connection: Option<Arc<Connection>>,
    incoming: HashMap<u32, Incoming>,
    opening: HashMap<u32, JoinHandle<Opened>>,
    streams: HashMap<u32, Stream>,
    pouring: JoinSet<Stream>,
    drain: Option<drain::Drain>,
    ended: JoinHandle<Result<(), String>>,
}

/// Plays a conversation in which we serve.
pub(crate) async fn play_server(engine: Engine, text: &str) {
    drop(server_up_to(engine, text).await);
}

/// The same, and leaves it there.
#[allow(clippy::print_stdout)] // Shown when the test fails.
pub(crate) async fn server_up_to(engine: Engine, text: &str) -> (Raw, Side) {
    println!("-- {engine:?} serves");
    let (ask, asked) = mpsc::unbounded_channel();
    let (io, server) = tunnel::server(server_settings(engine), move |incoming| {
        let ask = ask.clone();
        async move { drop(ask.send(incoming)) }
    });
    let serving = server.serving;
    let ended =
        tokio::spawn(async move { serving.await.unwrap().map(drop).map_err(|error| error.to_string()) });
    let mut side = Side::new(asked, ended);
    side.drain = Some(server.drain);
    let mut raw = Raw { io };
    timeout(STUCK, play(&mut raw, &mut side, text)).await.expect("stuck behind the last line");
    (raw, side)
}

/// Plays a conversation in which we dial; the line `* up` waits until the connection can be used.
pub(crate) async fn play_client(engine: Engine, text: &str) {
    drop(client_up_to(engine, text).await);
}

/// The same, and leaves it there.
#[allow(clippy::print_stdout)] // Shown when the test fails.
pub(crate) async fn client_up_to(engine: Engine, text: &str) -> (Raw, Side) {
    println!("-- {engine:?} dials");
    let (ours, io) = duplex(PIPE);
    let (found, connection) = oneshot::channel();
    let ended = tokio::spawn(async move {
        let connected = ambit_hbone::client::connect(carrier(ours), &client_settings(engine)).await;
        let (connection, driver) = connected.map_err(|error| error.to_string())?;
        drop(found.send(connection));
        driver.await.map_err(|error| error.to_string())
    });
    let (_ask, asked) = mpsc::unbounded_channel();
    let mut side = Side::new(asked, ended);
    let (opening, rest) = text.split_once("* up\n").expect("no line says when the client is up");
    let mut raw = Raw { io };
    let playing = async {
        let mut preface = [0; 24];
        raw.io.read_exact(&mut preface).await.unwrap();
        assert_eq!(preface, PREFACE);
        play(&mut raw, &mut side, opening).await;
        side.connection = Some(Arc::new(connection.await.expect("not up")));
        play(&mut raw, &mut side, rest).await;
    };
    timeout(STUCK, playing).await.expect("stuck behind the last line");
    (raw, side)
}

impl Side {
    fn new(asked: mpsc::UnboundedReceiver<Incoming>, ended: JoinHandle<Result<(), String>>) -> Self {
        Self {
            asked,
            connection: None,
            incoming: HashMap::new(),
            opening: HashMap::new(),
            streams: HashMap::new(),
            pouring: JoinSet::new(),
            drain: None,
            ended,
        }
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        self.streams.get_mut(&id).expect("no such stream")
    }

    async fn answer(&mut self, id: u32) -> Opened {
        self.opening.remove(&id).expect("nothing is open").await.unwrap()
    }

    /// Writes until nothing more is accepted; gives the bytes that were.
    pub(crate) async fn write_until_stuck(&mut self, id: u32, most: usize) -> usize {
        let mut accepted = 0;
        while accepted < most
            && let Ok(written) = timeout(STUCK, self.stream(id).write(&[0; 8192])).await
        {
            accepted += written.unwrap();
        }
        accepted
    }

    /// Does a `*` line.
    pub(crate) async fn act(&mut self, text: &str) {
        let words: Vec<&str> = text.split_whitespace().collect();
        let id: u32 = words.get(1).and_then(|word| word.parse().ok()).unwrap_or(0);
        match words[0] {
            "asked" => {
                let incoming = self.asked.recv().await.expect("nothing is asked");
                assert_eq!(incoming.authority().to_string(), words[2]);
                if let Some(expected) = words.get(3) {
                    assert_eq!(incoming.headers()["baggage"], expected);
                }
                self.incoming.insert(id, incoming);
            }
            "accept" => {
                let stream = self.incoming.remove(&id).unwrap().accept(None).unwrap();
                self.streams.insert(id, stream);
            }
            "refuse" => {
                let status = StatusCode::from_bytes(words[2].as_bytes()).unwrap();
                self.incoming.remove(&id).unwrap().refuse(status, "").unwrap();
            }
            "canceled" => self.incoming.get_mut(&id).unwrap().canceled().await,
            "open" => {
                let connection = Arc::clone(self.connection.as_ref().expect("let go"));
                let request = ambit_hbone::ConnectRequest::new(words[2].parse().unwrap());
                let opening = tokio::spawn(async move { connection.open(request).await });
                self.opening.insert(id, opening);
            }
            "opened" => {
                let stream = self.answer(id).await.expect("refused").0;
                self.streams.insert(id, stream);
            }
            "refused" => {
                let error = self.answer(id).await.expect_err("accepted");
                assert!(error.to_string().contains(quoted(text)), "{error}");
            }
            "write" => self.stream(id).write_all(quoted(text).as_bytes()).await.unwrap(),
            // In its own time: everything, then the end.
            "pour" => {
                let mut stream = self.streams.remove(&id).expect("no such stream");
                let text = quoted(text).to_owned();
                self.pouring.spawn(async move {
                    stream.write_all(text.as_bytes()).await.unwrap();
                    stream.shutdown().await.unwrap();
                    stream
                });
            }
            "shut" => self.stream(id).shutdown().await.unwrap(),
            "read" => {
                let mut read = vec![0; quoted(text).len()];
                self.stream(id).read_exact(&mut read).await.unwrap();
                assert_eq!(String::from_utf8_lossy(&read), quoted(text));
            }
            "eof" => assert_eq!(self.stream(id).read(&mut [0; 1]).await.unwrap(), 0, "not the end"),
            "broken" => drop(self.stream(id).read(&mut [0; 1]).await.expect_err("still whole")),
            "abort" => self.stream(id).abort(),
            "drop" => drop(self.streams.remove(&id).expect("no such stream")),
            "forget" => drop(self.incoming.remove(&id).expect("no such request")),
            "give-up" => self.opening.remove(&id).unwrap().abort(),
            "let-go" => self.connection = None,
            "retired" => {
                while !self.connection.as_ref().expect("let go").is_closed() {
                    tokio::task::yield_now().await;
                }
            }
            "drain" => self.drain.as_ref().unwrap().drain(Mode::Graceful),
            "done" => (&mut self.ended).await.unwrap().unwrap(),
            "failed" => drop((&mut self.ended).await.unwrap().unwrap_err()),
            _ => panic!("not a deed: {text}"),
        }
    }
}
