//! A gRPC client and server (tonic) over the byte streams of the mesh: one method of each kind.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::{Request, Response, uri::PathAndQuery};
use ambit_hbone::Stream;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) text: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) number: u64,
}

pub(crate) fn note(number: u64) -> Note {
    Note { text: b"note".to_vec(), number }
}

pub(crate) fn codec() -> ProstCodec<Note, Note> {
    ProstCodec::default()
}

/// A method of the server.
pub(crate) fn method(name: &str) -> PathAndQuery {
    format!("/shop.Cart/{name}").parse().unwrap()
}

/// A connection as the library wants it.
#[derive(Clone)]
pub(crate) struct Channel(SendRequest<Body>);

impl Service<Request<Body>> for Channel {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Response<Incoming>, hyper::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let mut sender = self.0.clone();
        Box::pin(async move { sender.send_request(request).await })
    }
}

/// A client on a stream.
pub(crate) async fn client(stream: Stream) -> Grpc<Channel> {
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut client = Grpc::with_origin(Channel(sender), "http://cart".parse().unwrap())
        .max_decoding_message_size(64 * 1024 * 1024);
    client.ready().await.unwrap();
    client
}

/// Says when an answer is not waited for any more.
struct Gone(mpsc::UnboundedSender<()>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.send(()).ok();
    }
}

type Notes = BoxStream<'static, Result<Note, Status>>;

/// What a method does with the notes that it is sent.
#[derive(Clone)]
struct Method {
    name: String,
    cancelled: mpsc::UnboundedSender<()>,
}

impl Service<tonic::Request<Streaming<Note>>> for Method {
    type Response = tonic::Response<Notes>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Status>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: tonic::Request<Streaming<Note>>) -> Self::Future {
        let Self { name, cancelled } = self.clone();
        Box::pin(async move {
            let seen = request.metadata().get("x-seen").cloned();
            let mut notes = request.into_inner();
            let answers: Notes = match name.as_str() {
                // Each note comes back as it comes.
                "Echo" => notes.boxed(),
                "Sum" => {
                    let mut sum = 0;
                    while let Some(note) = notes.message().await? {
                        sum += note.number;
                    }
                    futures_util::stream::iter([Ok(note(sum))]).boxed()
                }
                "Count" => {
                    let most = notes.message().await?.map_or(0, |note| note.number);
                    let big = |number| Ok(Note { text: vec![7; 8 * 1024], number });
                    futures_util::stream::iter((0..most).map(big)).boxed()
                }
                "Fail" => return Err(Status::not_found("no such cart: \u{1f6d2} 100%")),
                "FailLate" => {
                    let answers = [Ok(note(1)), Err(Status::resource_exhausted("enough"))];
                    futures_util::stream::iter(answers).boxed()
                }
                // It waits until the call is given up.
                "Never" => {
                    let gone = Gone(cancelled);
                    let waiting = async move {
                        let _gone = gone;
                        std::future::pending().await
                    };
                    futures_util::stream::once(waiting).boxed()
                }
                other => return Err(Status::unimplemented(other.to_owned())),
            };
            let mut response = tonic::Response::new(answers);
            if let Some(seen) = seen {
                response.metadata_mut().insert("x-seen", seen);
            }
            Ok(response)
        })
    }
}

/// Serves calls on all streams; gives word of each that was cancelled.
pub(crate) fn serve(mut streams: mpsc::UnboundedReceiver<(Stream, u16)>) -> mpsc::UnboundedReceiver<()> {
    let (cancelled, cancellations) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((stream, _)) = streams.recv().await {
            let cancelled = cancelled.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let name = request.uri().path().trim_start_matches("/shop.Cart/").to_owned();
                let method = Method { name, cancelled: cancelled.clone() };
                async move {
                    let mut grpc =
                        tonic::server::Grpc::new(codec()).max_decoding_message_size(64 * 1024 * 1024);
                    Ok::<_, Infallible>(grpc.streaming(method, request).await)
                }
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
    cancellations
}
