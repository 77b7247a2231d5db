//! What first bytes before the answer save: a connection over a warm tunnel, counted on the pipe below it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/tunnel.rs"]
mod tunnel;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ambit_hbone::client::connect;
use ambit_hbone::{Buffered, ClientSettings, ServerSettings, serve};
use ambit_transport::{Ahead, Limits, drain, relay};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tunnel::{PIPE, echo, exchange, request};

/// A pipe's end that writes down who wrote.
struct Noted {
    io: DuplexStream,
    who: char,
    notes: Arc<Mutex<String>>,
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, space)
    }
}

impl AsyncWrite for Noted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.notes.lock().unwrap().push(self.who);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Who writes to the tunnel, in order, from the application's first byte to the last of its answer: `c` the client's
/// proxy, `s` the server's.
async fn writes(early_bytes: bool) -> String {
    let notes = Arc::new(Mutex::new(String::new()));
    let (near, far) = duplex(PIPE);
    let noted = |io, who| Buffered::new(Noted { io, who, notes: Arc::clone(&notes) });
    let (far, near) = (noted(far, 's'), noted(near, 'c'));
    let (_drain, watch) = drain::channel();
    let settings = ServerSettings { early_bytes, ..ServerSettings::default() };
    tokio::spawn(async move { serve(far, &settings, watch, echo).await });
    let settings = ClientSettings { early_bytes, ..ClientSettings::default() };
    let (connection, driver) = connect(near, &settings).await.unwrap();
    tokio::spawn(driver);
    assert_eq!(exchange(connection.open(request()).await.unwrap().0, b"warm").await, b"warm");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    notes.lock().unwrap().clear();
    let (mut application, captured) = duplex(PIPE);
    application.write_all(b"ping").await.unwrap();
    tokio::spawn(async move {
        let mut captured = Ahead::new(captured);
        let opened = connection.open_for(request(), &mut captured).await.unwrap();
        relay(captured, opened.stream, &(), Limits::default(), std::future::pending()).await.unwrap();
    });
    let mut said = [0; 4];
    application.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"ping");
    notes.lock().unwrap().clone()
}

#[tokio::test]
async fn a_short_exchange_takes_one_round_trip_instead_of_two() {
    assert_eq!(writes(false).await, "cscs");
    assert_eq!(writes(true).await, "cs");
}
