//! The accepting side over the library.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use h2::server::{Builder, Connection, SendResponse};
use h2::{PingPong, Reason, RecvStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};

use super::client::ask;
use super::stream::{Payload, Stream};
use super::watched::Watched;
use crate::activity::{Activity, Place};
use crate::server::{AcceptError, Answer, Farewell, Head, Incoming, Link, ServeError, target};
use crate::settings::ServerSettings;

/// One connection whose client has sent its SETTINGS.
pub(crate) struct Session<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Watched<IO>, Payload>,
    pings: Option<PingPong>,
}

pub(crate) async fn handshake<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    settings: &ServerSettings,
    activity: Arc<Activity>,
) -> Result<Session<IO>, ServeError> {
    let buffers = settings.buffers.clamped();
    let mut connection = Builder::new()
        .max_concurrent_streams(settings.max_streams)
        .initial_window_size(buffers.stream_window)
        .initial_connection_window_size(buffers.connection_window)
        .max_frame_size(buffers.max_frame)
        .data_frame_budget(buffers.frame_overhead)
        .max_send_buffer_size(buffers.send_buffer)
        .max_header_list_size(buffers.header_list)
        .handshake(Watched::from_client(io, Arc::clone(&activity)))
        .await
        .map_err(serve_error)?;
    poll_fn(|cx| match connection.poll_closed(cx) {
        _ if activity.settled() => Poll::Ready(Ok(())),
        Poll::Ready(Ok(())) => Poll::Ready(Err(ServeError::Io(io::ErrorKind::UnexpectedEof.into()))),
        Poll::Ready(Err(error)) => Poll::Ready(Err(serve_error(error))),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    let pings = connection.ping_pong();
    Ok(Session { connection, pings })
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Link for Session<IO> {
    type Request = (Request<RecvStream>, SendResponse<Payload>);

    fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Self::Request, ServeError>>> {
        self.connection.poll_accept(cx).map_err(serve_error)
    }

    fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ServeError>> {
        self.connection.poll_closed(cx).map_err(serve_error)
    }

    fn check((request, mut respond): Self::Request, place: Place) -> Result<Incoming, &'static str> {
        let (head, receive) = request.into_parts();
        let extended = head.extensions.get::<h2::ext::Protocol>().is_some();
        let checked = target(&Head {
            connect: head.method == Method::CONNECT,
            extended: extended || head.uri.scheme().is_some() || head.uri.path_and_query().is_some(),
            authority: head.uri.authority().map(|authority| authority.as_str()),
            headers: &head.headers,
        });
        match checked {
            Ok(authority) => {
                let id = respond.stream_id().as_u32();
                Ok(Incoming::library(authority, head.headers, id, Pending { place, respond, receive }))
            }
            Err(reason) => {
                if respond.send_response(response(Answer::malformed(reason)), true).is_err() {
                    place.activity().count_early_reset();
                }
                Err(reason)
            }
        }
    }

    fn set_window(&mut self, window: u32) {
        self.connection.set_target_window_size(window);
    }

    fn ask(&mut self) {
        ask(&mut self.pings);
    }

    fn drain(&mut self) {
        self.connection.graceful_shutdown();
    }

    fn cut(&mut self, farewell: Farewell) {
        self.connection.abrupt_shutdown(match farewell {
            Farewell::Orderly => Reason::NO_ERROR,
            Farewell::Calm => Reason::ENHANCE_YOUR_CALM,
        });
    }
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(crate) struct Pending {
    place: Place,
    respond: SendResponse<Payload>,
    receive: RecvStream,
}

impl Pending {
    pub(crate) async fn canceled(&mut self) {
        // Either way there is nobody to answer: the stream was reset, or the connection is gone.
        let _ = poll_fn(|cx| self.respond.poll_reset(cx)).await;
    }

    pub(crate) fn accept(self, answer: Answer) -> Result<Stream, AcceptError> {
        let Self { place, mut respond, receive } = self;
        match respond.send_response(response(answer), false) {
            Ok(send) => Ok(Stream::new(Arc::new(place), send, receive)),
            Err(error) => {
                place.activity().count_early_reset();
                Err(AcceptError::new(error))
            }
        }
    }

    pub(crate) fn refuse(self, answer: Answer) -> Result<(), AcceptError> {
        let Self { place, mut respond, receive: _receive } = self;
        let sent = respond.send_response(response(answer), true);
        if sent.is_err() {
            place.activity().count_early_reset();
        }
        // Free before the connection wakes up over the rest.
        drop(place);
        sent.map(drop).map_err(AcceptError::new)
    }

    /// Unanswered: the library resets the stream.
    pub(crate) fn leave(mut self) {
        let noop = &mut Context::from_waker(Waker::noop());
        if self.respond.poll_reset(noop).is_ready() {
            self.place.activity().count_early_reset();
        }
    }
}

fn response(answer: Answer) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = answer.status;
    for (name, value) in answer.fields() {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

fn serve_error(error: h2::Error) -> ServeError {
    if !error.is_io() {
        return ServeError::Protocol(error.to_string());
    }
    match error.into_io() {
        Some(error) if error.kind() == io::ErrorKind::Other => ServeError::Protocol(error.to_string()),
        Some(error) => ServeError::Io(error),
        None => ServeError::Io(io::ErrorKind::Other.into()),
    }
}
