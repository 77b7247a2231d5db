//! The dialling side over the library.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, Reason, SendStream};
use http::{Method, Request, StatusCode, Uri, Version, uri};
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::{Payload, Stream};
use super::watched::Watched;
use crate::activity::{Activity, Place};
use crate::client::{ConnectRequest, H2Error, OpenError, ResponseHead, details};
use crate::headers::{BAGGAGE, PROXY_STATUS};
use crate::settings::{Buffers, ClientSettings};

/// What streams are opened with.
#[derive(Debug)]
pub(crate) struct Handle {
    send: SendRequest<Payload>,
    activity: Arc<Activity>,
}

/// What must be polled.
#[derive(Debug)]
pub(crate) struct Link<IO: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<Watched<IO>, Payload>,
    pings: Option<PingPong>,
}

pub(crate) async fn handshake<IO>(
    io: IO,
    settings: &ClientSettings,
    buffers: &Buffers,
    activity: &Arc<Activity>,
) -> Result<(Handle, Link<IO>), H2Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (send, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(settings.max_streams)
        .initial_window_size(buffers.stream_window)
        .initial_connection_window_size(buffers.connection_window)
        .max_frame_size(buffers.max_frame)
        .data_frame_budget(buffers.frame_overhead)
        .max_send_buffer_size(buffers.send_buffer)
        .max_header_list_size(buffers.header_list)
        .handshake(Watched::from_server(io, Arc::clone(activity)))
        .await
        .map_err(h2_error)?;
    poll_fn(|cx| {
        // One turn reads all there is, so what arrived has also been applied.
        let ended = Pin::new(&mut connection).poll(cx);
        match ended {
            Poll::Ready(Ok(())) => Poll::Ready(Err(H2Error::Closed)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(h2_error(error))),
            Poll::Pending if activity.settled() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let pings = connection.ping_pong();
    Ok((Handle { send, activity: Arc::clone(activity) }, Link { connection, pings }))
}

impl Handle {
    /// Streams at a time, as the peer allows them.
    pub(crate) fn peers_limit(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Whether the library takes no more streams.
    pub(crate) fn is_closed(&self) -> bool {
        let noop = &mut Context::from_waker(Waker::noop());
        matches!(self.send.clone().poll_ready(noop), Poll::Ready(Err(_)))
    }

    pub(crate) fn start(&self, place: Place, request: ConnectRequest) -> Result<Opening, OpenError> {
        let request = into_http(request)?;
        let (response, send) = self.send.clone().send_request(request, false).map_err(|error| {
            self.activity.retire();
            OpenError::NotProcessed(error.to_string().into())
        })?;
        Ok(Opening { place: Arc::new(place), response, send })
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Link<IO> {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H2Error>> {
        Pin::new(&mut self.connection).poll(cx).map_err(h2_error)
    }

    pub(crate) fn set_window(&mut self, window: u32) {
        self.connection.set_target_window_size(window);
    }

    pub(crate) fn ask(&mut self) {
        ask(&mut self.pings);
    }
}

/// Sends a PING, unless an earlier one is still unanswered, which is as good.
pub(super) fn ask(pings: &mut Option<PingPong>) {
    if let Some(pings) = pings {
        // An answer that was not collected blocks the next question.
        let _ = pings.poll_pong(&mut Context::from_waker(Waker::noop()));
        let _ = pings.send_ping(Ping::opaque());
    }
}

/// A CONNECT that waits for its answer.
#[derive(Debug)]
pub(crate) struct Opening {
    place: Arc<Place>,
    response: ResponseFuture,
    send: SendStream<Payload>,
}

impl Opening {
    pub(crate) async fn answered(mut self) -> Result<(Stream, ResponseHead), OpenError> {
        let response = match (&mut self.response).await {
            Ok(response) => response,
            Err(error) => {
                if !error.is_reset() {
                    self.place.activity().retire();
                }
                return Err(unanswered(error));
            }
        };
        let (head, receive) = response.into_parts();
        if head.status != StatusCode::OK {
            self.send.send_reset(Reason::CANCEL);
            let details = head.headers.get(PROXY_STATUS).and_then(details);
            return Err(OpenError::Refused { status: head.status.as_u16(), details });
        }
        let baggage = head.headers.get_all(BAGGAGE).into_iter().cloned().collect();
        Ok((Stream::new(self.place, self.send, receive), ResponseHead { baggage }))
    }
}

fn into_http(request: ConnectRequest) -> Result<Request<()>, OpenError> {
    // Authority's own text is a subset of RFC 3986's, so this does not fail.
    let refused = |error: &dyn std::fmt::Display| OpenError::Reset(error.to_string().into());
    let authority =
        uri::Authority::try_from(request.authority.to_string()).map_err(|error| refused(&error))?;
    let mut parts = uri::Parts::default();
    parts.authority = Some(authority);
    let mut message = Request::new(());
    *message.method_mut() = Method::CONNECT;
    *message.version_mut() = Version::HTTP_2;
    *message.uri_mut() = Uri::from_parts(parts).map_err(|error| refused(&error))?;
    for (name, value) in request.fields() {
        message.headers_mut().append(name, value.clone());
    }
    Ok(message)
}

fn h2_error(error: h2::Error) -> H2Error {
    if !error.is_io() {
        return H2Error::Protocol(error.to_string().into());
    }
    match error.into_io() {
        Some(error) => H2Error::of_io(error),
        None => H2Error::Closed,
    }
}

/// The request left and there will be no answer.
fn unanswered(error: h2::Error) -> OpenError {
    let text = error.to_string().into();
    let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
    // The library fails a stream with the peer's GOAWAY only when the stream is above its last one.
    let above = error.is_go_away() && error.is_remote();
    if refused || above {
        OpenError::NotProcessed(text)
    } else if error.is_reset() {
        OpenError::Reset(text)
    } else {
        OpenError::Lost(text)
    }
}
