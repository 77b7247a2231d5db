//! The dialling side of our own engine.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use ambit_transport::Ahead;
use http::StatusCode;
use tokio::io::AsyncRead;

use super::core::{self, Shared, Unanswered};
use super::early::Early;
use super::frame::Code;
use super::machine::{By, Role, Unsent};
use super::stream::Stream;
use crate::activity::{Activity, Place};
use crate::carrier::Carrier;
use crate::client::{ConnectRequest, H2Error, OpenError, ResponseHead, Unopened, details};
use crate::headers::{BAGGAGE, PROXY_STATUS};
use crate::settings::{Buffers, ClientSettings};

/// What streams are opened with. Without it, the connection ends after its streams.
#[derive(Debug)]
pub(crate) struct Handle {
    core: Shared,
    early_bytes: bool,
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
    let link = Link { core: core::new(carrier, Role::Client, buffers, (most, false), Arc::clone(activity)) };
    poll_fn(|cx| match (link.core.turn(cx), link.core.failure()) {
        (Poll::Ready(over), _) | (Poll::Pending, Some(over)) => {
            Poll::Ready(over.client().and(Err(H2Error::Closed)))
        }
        (Poll::Pending, None) if link.core.settled() => Poll::Ready(Ok(())),
        (Poll::Pending, None) => Poll::Pending,
    })
    .await?;
    Ok((Handle { core: Arc::clone(&link.core), early_bytes: settings.early_bytes }, link))
}

impl Handle {
    /// Streams at a time, as the peer allows them.
    pub(crate) fn peers_limit(&self) -> usize {
        self.core.peers_limit()
    }

    pub(crate) fn start(&self, place: Place, request: &ConnectRequest) -> Result<Opening, OpenError> {
        let authority = request.authority.to_string();
        match self.core.request(&authority, request.fields()) {
            Ok(id) => {
                let early_bytes = self.early_bytes && self.core.takes_early_bytes();
                Ok(Opening { stream: Stream::new(Arc::clone(&self.core), place, id), early_bytes })
            }
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
    early_bytes: bool,
}

impl Opening {
    /// The stream, and how many first bytes of the client are in it. Moves them meanwhile, if the peer takes them.
    pub(crate) async fn answered<S: AsyncRead + Unpin>(
        self,
        client: Option<&mut Ahead<S>>,
    ) -> Result<(Stream, ResponseHead, u64), Unopened> {
        let Self { mut stream, early_bytes } = self;
        let mut early = Early::new(client.filter(|_| early_bytes));
        let answer = poll_fn(|cx| {
            let answer = stream.core().poll_answer(cx, stream.id());
            if answer.is_ready() || early.poll(cx, &mut stream).is_pending() {
                return answer;
            }
            stream.core().poll_answer(cx, stream.id())
        });
        let message = match answer.await {
            Ok(message) => message,
            Err(unanswered) => {
                if matches!(unanswered, Unanswered::Lost(_) | Unanswered::Reset(_, By::GoAway)) {
                    stream.core().activity.retire();
                }
                return Err(Unopened {
                    error: open_error(&unanswered),
                    exposed: stream.core().exposed(stream.id()),
                });
            }
        };
        if message.status != StatusCode::OK.as_u16() {
            let details = message.headers.get(PROXY_STATUS).and_then(details);
            return Err(OpenError::Refused { status: message.status, details }.into());
        }
        let baggage = message.headers.get_all(BAGGAGE).into_iter().cloned().collect();
        Ok((stream, ResponseHead { baggage }, early.keep_nothing()))
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
