//! Clients and applications that speak HTTP, by a real library, over any byte stream.
#![allow(clippy::unwrap_used, clippy::panic, unreachable_pub)]

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

/// A body of frames that a test sends one by one; it ends when the sender is dropped.
pub struct Frames(pub mpsc::Receiver<Frame<Bytes>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

pub type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

pub fn text(text: &str) -> Body {
    http_body_util::Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed()
}

pub fn empty() -> Body {
    http_body_util::Empty::new().boxed()
}

/// A body that the test sends, and its sender.
pub fn frames() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    (sender, Frames(receiver).boxed())
}

pub async fn client1<S>(stream: S) -> http1::SendRequest<Body>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender
}

pub async fn client2<S>(stream: S) -> http2::SendRequest<Body>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Serves every stream, in whichever version it is spoken to.
pub fn serve<S, F, Fut>(mut streams: mpsc::UnboundedReceiver<(S, u16)>, version: http::Version, handle: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Response<Body>> + Send + 'static,
{
    tokio::spawn(async move {
        while let Some((stream, _)) = streams.recv().await {
            let handle = handle.clone();
            let service = service_fn(move |request| {
                let answered = handle(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(async move {
                if version == http::Version::HTTP_2 {
                    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    builder.serve_connection(TokioIo::new(stream), service).await.ok();
                } else {
                    let builder = hyper::server::conn::http1::Builder::new();
                    builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await.ok();
                }
            });
        }
    });
}

/// What a response said, read to its end.
pub struct Heard {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Heard {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub async fn hear(response: Response<Incoming>) -> Heard {
    let (head, body) = response.into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned();
    Heard { status: head.status.as_u16(), headers: head.headers, body: collected.to_bytes(), trailers }
}

/// The next bytes of a body.
pub async fn piece(body: &mut Incoming) -> Bytes {
    std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))
        .await
        .expect("the body goes on")
        .unwrap()
        .into_data()
        .unwrap()
}
