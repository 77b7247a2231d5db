//! The dialling side of one tunnel: set it up, open CONNECT streams in it.

mod driver;
mod error;
mod request;

use std::sync::Arc;

use ambit_transport::Ahead;
use tokio::io::{AsyncRead, AsyncWrite, Empty};
use tokio::time::timeout;

use crate::activity::{Activity, Place};
use crate::carrier::Carrier;
use crate::settings::{ClientSettings, Engine};
use crate::stream::Stream;
use crate::{engine, library};

pub use driver::Driver;
pub(crate) use error::Unopened;
pub use error::{H2Error, OpenError};
pub(crate) use request::details;
pub use request::{ConnectRequest, ResponseHead};

/// A tunnel that is up: the peer's SETTINGS have arrived, so it has accepted our certificate too.
///
/// It does nothing by itself: its [`Driver`] must be polled. When the handle is dropped, open streams go on, and after
/// the last of them the driver closes the connection and ends.
#[derive(Debug)]
pub struct Connection {
    handle: Handle,
    activity: Arc<Activity>,
    most_streams: usize,
}

#[derive(Debug)]
enum Handle {
    Own(engine::client::Handle),
    Library(library::client::Handle),
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
    IO: Carrier + AsyncRead + AsyncWrite + Unpin,
{
    let activity = Activity::new();
    match timeout(settings.handshake_timeout, handshake(io, settings, activity)).await {
        Ok(result) => result,
        Err(_) => Err(H2Error::TimedOut(settings.handshake_timeout)),
    }
}

async fn handshake<IO>(
    io: IO,
    settings: &ClientSettings,
    activity: Arc<Activity>,
) -> Result<(Connection, Driver<IO>), H2Error>
where
    IO: Carrier + AsyncRead + AsyncWrite + Unpin,
{
    let buffers = settings.buffers.clamped();
    let (handle, link) = match settings.engine {
        Engine::Own => {
            let (handle, link) = engine::client::handshake(io, settings, &buffers, &activity).await?;
            (Handle::Own(handle), driver::Link::Own(link))
        }
        Engine::Library => {
            let (handle, link) = library::client::handshake(io, settings, &buffers, &activity).await?;
            (Handle::Library(handle), driver::Link::Library(Box::new(link)))
        }
    };
    let driver = Driver::new(link, Arc::clone(&activity), settings.liveness.clone(), buffers.growth());
    Ok((Connection { handle, activity, most_streams: settings.max_streams }, driver))
}

impl Connection {
    /// How many streams may be open at a time: the smaller of ours and the peer's number.
    pub fn stream_limit(&self) -> usize {
        self.most_streams.min(match &self.handle {
            Handle::Own(handle) => handle.peers_limit(),
            Handle::Library(handle) => handle.peers_limit(),
        })
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
        let gone = match &self.handle {
            // Its driver retires the connection itself.
            Handle::Own(_) => false,
            Handle::Library(handle) => handle.is_closed(),
        };
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
        let opened = self.open_from(request, None::<&mut Ahead<Empty>>).await?;
        Ok((opened.stream, opened.head))
    }

    /// The same for the connection of `client`, whose first bytes and end go ahead of the answer where
    /// [`ClientSettings::early_bytes`] and the peer allow it. They stay in `client` unless the answer is 200.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_for<S: AsyncRead + Unpin>(
        &self,
        request: ConnectRequest,
        client: &mut Ahead<S>,
    ) -> Result<Opened, OpenError> {
        self.open_from(request, Some(client)).await
    }

    async fn open_from<S: AsyncRead + Unpin>(
        &self,
        request: ConnectRequest,
        client: Option<&mut Ahead<S>>,
    ) -> Result<Opened, OpenError> {
        if self.is_closed() {
            return Err(OpenError::Closed);
        }
        let place = self.reserve().ok_or(OpenError::Full)?;
        self.start(place, request)?.answered(client).await.map_err(|unopened| unopened.error)
    }

    pub(crate) fn reserve(&self) -> Option<Place> {
        self.activity.reserve(self.stream_limit())
    }

    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Sends the CONNECT. What is returned does not hold the connection open beyond its own stream.
    pub(crate) fn start(&self, place: Place, request: ConnectRequest) -> Result<Opening, OpenError> {
        match &self.handle {
            Handle::Own(handle) => handle.start(place, &request).map(Opening::Own),
            Handle::Library(handle) => handle.start(place, request).map(Opening::Library),
        }
    }
}

/// A stream whose CONNECT was answered 200.
#[derive(Debug)]
pub struct Opened {
    /// The carried connection.
    pub stream: Stream,
    /// What came with the answer.
    pub head: ResponseHead,
    /// First bytes of the client that the stream has taken already.
    pub early: u64,
}

/// A CONNECT that waits for its answer.
#[derive(Debug)]
pub(crate) enum Opening {
    Own(engine::client::Opening),
    Library(library::client::Opening),
}

impl Opening {
    pub(crate) async fn answered<S: AsyncRead + Unpin>(
        self,
        client: Option<&mut Ahead<S>>,
    ) -> Result<Opened, Unopened> {
        match self {
            Self::Own(opening) => {
                let (stream, head, early) = opening.answered(client).await?;
                Ok(Opened { stream: Stream::own(stream), head, early })
            }
            Self::Library(opening) => {
                let (stream, head) = opening.answered().await?;
                Ok(Opened { stream: Stream::library(stream), head, early: 0 })
            }
        }
    }
}
