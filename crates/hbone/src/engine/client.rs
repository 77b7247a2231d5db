//! The dialling side of our own engine.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;

use super::core::{self, Shared, Unanswered};
use super::frame::Code;
use super::machine::{By, Role, Unsent};
use super::stream::Stream;
use crate::activity::{Activity, Place};
use crate::carrier::Carrier;
use crate::client::{ConnectRequest, H2Error, OpenError, ResponseHead, details};
use crate::headers::{BAGGAGE, PROXY_STATUS};
use crate::settings::{Buffers, ClientSettings};

/// What streams are opened with. Without it, the connection ends after its streams.
#[derive(Debug)]
pub(crate) struct Handle {
    core: Shared,
}

/// What must be polled. Dropped, it cuts the connection.
#[derive(Debug)]
pub(crate) struct Link {
    core: Shared,
}

pub(crate) async fn handshake<C: Carrier>(
    carrier: C,
    settings: &ClientSettings,
    buffers: &Buffers,
    activity: &Arc<Activity>,
) -> Result<(Handle, Link), H2Error> {
    let most = u32::try_from(settings.max_streams).unwrap_or(u32::MAX);
    let link = Link { core: core::new(carrier, Role::Client, buffers, most, Arc::clone(activity)) };
    poll_fn(|cx| match link.core.turn(cx) {
        Poll::Ready(over) => Poll::Ready(over.client().and(Err(H2Error::Closed))),
        Poll::Pending if link.core.settled() => Poll::Ready(Ok(())),
        Poll::Pending => Poll::Pending,
    })
    .await?;
    Ok((Handle { core: Arc::clone(&link.core) }, link))
}

impl Handle {
    /// Streams at a time, as the peer allows them.
    pub(crate) fn peers_limit(&self) -> usize {
        self.core.peers_limit()
    }

    pub(crate) fn start(&self, place: Place, request: &ConnectRequest) -> Result<Opening, OpenError> {
        let authority = request.authority.to_string();
        match self.core.request(&authority, request.fields()) {
            Ok(id) => Ok(Opening { stream: Stream::new(Arc::clone(&self.core), place, id) }),
            Err(unsent) => {
                self.core.activity.retire();
                let text = match unsent {
                    Unsent::Closed => "the tunnel is closed",
                    Unsent::Exhausted => "the tunnel has used up its stream numbers",
                };
                Err(OpenError::NotProcessed(text.into()))
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.release();
    }
}

impl Link {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), H2Error>> {
        self.core.turn(cx).map(|over| over.client())
    }

    pub(crate) fn set_window(&mut self, window: u32) {
        self.core.set_window(window);
    }

    pub(crate) fn ask(&mut self) {
        self.core.ask();
    }

    pub(crate) fn backlog(&self) -> bool {
        self.core.backlog()
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.core.abandon();
    }
}

/// A CONNECT that waits for its answer. Dropped, it is taken back.
#[derive(Debug)]
pub(crate) struct Opening {
    stream: Stream,
}

impl Opening {
    pub(crate) async fn answered(self) -> Result<(Stream, ResponseHead), OpenError> {
        let Self { stream } = self;
        let answer = poll_fn(|cx| stream.core().poll_answer(cx, stream.id())).await;
        let message = match answer {
            Ok(message) => message,
            Err(unanswered) => {
                if matches!(unanswered, Unanswered::Lost(_) | Unanswered::Reset(_, By::GoAway)) {
                    stream.core().activity.retire();
                }
                return Err(open_error(&unanswered));
            }
        };
        if message.status != StatusCode::OK.as_u16() {
            let details = message.headers.get(PROXY_STATUS).and_then(details);
            return Err(OpenError::Refused { status: message.status, details });
        }
        let baggage = message.headers.get_all(BAGGAGE).into_iter().cloned().collect();
        Ok((stream, ResponseHead { baggage }))
    }
}

fn open_error(unanswered: &Unanswered) -> OpenError {
    let text = unanswered.to_string().into();
    match unanswered {
        Unanswered::Reset(_, By::GoAway) | Unanswered::Reset(Code::REFUSED_STREAM, By::Peer) => {
            OpenError::NotProcessed(text)
        }
        Unanswered::Reset(..) => OpenError::Reset(text),
        Unanswered::Lost(_) => OpenError::Lost(text),
    }
}
