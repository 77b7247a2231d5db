//! The dialling side of one tunnel: set it up, open CONNECT streams in it.

mod driver;
mod error;
mod request;

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::activity::{Activity, Place};
use crate::headers::{BAGGAGE, PROXY_STATUS};
use crate::settings::ClientSettings;
use crate::stream::{Payload, Stream};
use crate::watched::Watched;

pub use driver::Driver;
pub use error::{H2Error, OpenError};
pub use request::{ConnectRequest, ResponseHead};

/// A tunnel that is up: the peer's SETTINGS have arrived, so it has accepted our certificate too.
///
/// It does nothing by itself: its [`Driver`] must be polled. When the handle is dropped, open streams go on, and after
/// the last of them the driver closes the connection and ends.
#[derive(Debug)]
pub struct Connection {
    send: SendRequest<Payload>,
    activity: Arc<Activity>,
    most_streams: usize,
}

/// Sets up HTTP/2 over `io` and waits for the peer's SETTINGS.
///
/// With TLS 1.3 below, a peer refuses our certificate only after our handshake is done, which shows at the first read:
/// here, as [`H2Error::TlsRefused`]. `io` reports the alert as [`std::io::ErrorKind::InvalidData`], as rustls words it.
///
/// # Errors
/// The connection cannot be used; see [`H2Error`].
pub async fn connect<IO>(io: IO, settings: &ClientSettings) -> Result<(Connection, Driver<IO>), H2Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    match timeout(settings.handshake_timeout, handshake(io, settings)).await {
        Ok(result) => result,
        Err(_) => Err(H2Error::TimedOut(settings.handshake_timeout)),
    }
}

async fn handshake<IO>(io: IO, settings: &ClientSettings) -> Result<(Connection, Driver<IO>), H2Error>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
{
    let activity = Activity::new();
    let buffers = settings.buffers.clamped();
    let (send, mut connection) = Builder::new()
        .enable_push(false)
        .initial_max_send_streams(settings.max_streams)
        .initial_window_size(buffers.stream_window)
        .initial_connection_window_size(buffers.connection_window)
        .max_frame_size(buffers.max_frame)
        .data_frame_budget(buffers.frame_overhead)
        .max_send_buffer_size(buffers.send_buffer)
        .max_header_list_size(buffers.header_list)
        .handshake(Watched::from_server(io, Arc::clone(&activity)))
        .await
        .map_err(H2Error::new)?;
    poll_fn(|cx| {
        // One turn reads all there is, so what arrived has also been applied.
        let ended = std::pin::Pin::new(&mut connection).poll(cx);
        match ended {
            Poll::Ready(Ok(())) => Poll::Ready(Err(H2Error::Closed)),
            Poll::Ready(Err(error)) => Poll::Ready(Err(H2Error::new(error))),
            Poll::Pending if activity.settled() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;
    let driver = Driver::new(connection, Arc::clone(&activity), settings.liveness.clone(), buffers.growth());
    Ok((Connection { send, activity, most_streams: settings.max_streams }, driver))
}

impl Connection {
    /// How many streams may be open at a time: the smaller of ours and the peer's number.
    pub fn stream_limit(&self) -> usize {
        self.most_streams.min(self.send.current_max_send_streams())
    }

    /// Streams that are open now, those included that were dropped with bytes still to send.
    pub fn streams(&self) -> usize {
        self.activity.streams()
    }

    /// Whether no new stream can be opened: the peer said GOAWAY, or the connection has ended or failed.
    pub fn is_closed(&self) -> bool {
        if self.activity.retired() {
            return true;
        }
        let noop = &mut std::task::Context::from_waker(std::task::Waker::noop());
        let gone = matches!(self.send.clone().poll_ready(noop), Poll::Ready(Err(_)));
        if gone {
            self.activity.retire();
        }
        gone
    }

    /// Opens a stream: sends the CONNECT and waits for its answer. The caller bounds the wait; dropping the future takes
    /// the request back (RST_STREAM CANCEL). No DATA is sent before the answer is 200.
    ///
    /// # Errors
    /// See [`OpenError`]: among them the peer's refusal, and [`OpenError::Full`] when every stream is in use.
    pub async fn open(&self, request: ConnectRequest) -> Result<(Stream, ResponseHead), OpenError> {
        if self.is_closed() {
            return Err(OpenError::Closed);
        }
        let place = self.reserve().ok_or(OpenError::Full)?;
        self.start(place, request)?.answered().await
    }

    pub(crate) fn reserve(&self) -> Option<Place> {
        self.activity.reserve(self.stream_limit())
    }

    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Sends the CONNECT. What is returned does not hold the connection open beyond its own stream.
    pub(crate) fn start(&self, place: Place, request: ConnectRequest) -> Result<Opening, OpenError> {
        let request: Request<()> = request.into_http()?;
        let (response, send) = self.send.clone().send_request(request, false).map_err(|error| {
            self.activity.retire();
            OpenError::unsent(error)
        })?;
        Ok(Opening { place: Arc::new(place), response, send })
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
                return Err(OpenError::unanswered(error));
            }
        };
        let (head, receive) = response.into_parts();
        if head.status != StatusCode::OK {
            self.send.send_reset(Reason::CANCEL);
            let details = head.headers.get(PROXY_STATUS).and_then(request::details);
            return Err(OpenError::Refused { status: head.status.as_u16(), details });
        }
        let baggage = head.headers.get_all(BAGGAGE).into_iter().cloned().collect();
        Ok((Stream::new(self.place, self.send, receive), ResponseHead { baggage }))
    }
}
