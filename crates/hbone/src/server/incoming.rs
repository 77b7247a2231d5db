//! One CONNECT that waits for its answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};

use ambit_model::Text;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use super::error::AcceptError;
use crate::activity::Place;
use crate::authority::Authority;
use crate::headers::{
    BAGGAGE, Baggage, FORWARDED, Forwarded, PROXY_STATUS, TRACEPARENT, TraceParent, X_FORWARDED_NETWORK,
};
use crate::stream::{Payload, Stream};

/// A CONNECT that was checked in form and waits for its answer.
///
/// Bytes that the client sends meanwhile stay unread, at most one stream window of them, and are discarded unless the
/// answer is 200. Dropping it unanswered resets the stream.
#[derive(Debug)]
pub struct Incoming {
    authority: Authority,
    headers: HeaderMap,
    id: u32,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    place: Place,
    respond: SendResponse<Payload>,
    receive: RecvStream,
}

impl Incoming {
    /// Takes the request if it is a plain CONNECT with a target. Answers 400 otherwise, and says what was wrong.
    pub(super) fn check(
        request: Request<RecvStream>,
        mut respond: SendResponse<Payload>,
        place: Place,
    ) -> Result<Self, &'static str> {
        let (head, receive) = request.into_parts();
        match target(&head) {
            Ok(authority) => Ok(Self {
                authority,
                headers: head.headers,
                id: respond.stream_id().as_u32(),
                pending: Some(Pending { place, respond, receive }),
            }),
            Err(reason) => {
                if respond.send_response(answer(StatusCode::BAD_REQUEST, reason), true).is_err() {
                    place.activity().count_early_reset();
                }
                Err(reason)
            }
        }
    }

    /// Where the client wants to go. Whether it may is for the caller to decide.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The request's headers as they came.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The number of the stream in its connection, for logs.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The source workload as its proxy describes it; `None` when it says nothing. Telemetry only.
    pub fn baggage(&self) -> Option<Baggage> {
        self.headers.contains_key(BAGGAGE).then(|| Baggage::decode(self.headers.get_all(BAGGAGE)))
    }

    /// The service that the client asked for, from `forwarded`. Telemetry only.
    pub fn forwarded_host(&self) -> Option<Text> {
        self.headers.get(FORWARDED).and_then(Forwarded::host_of)
    }

    /// The client's trace, if it sent a valid one.
    pub fn traceparent(&self) -> Option<TraceParent> {
        self.headers.get(TRACEPARENT).and_then(TraceParent::decode)
    }

    /// The client's network on the inner CONNECT of double HBONE. Telemetry only.
    pub fn forwarded_network(&self) -> Option<Text> {
        let value = self.headers.get(X_FORWARDED_NETWORK)?.to_str().ok()?;
        (value.len() <= 256).then(|| value.into())
    }

    /// Resolves when the client no longer waits for an answer. Work on the answer can be given up then.
    pub async fn canceled(&mut self) {
        if let Some(pending) = &mut self.pending {
            // Either way there is nobody to answer: the stream was reset, or the connection is gone.
            let _ = poll_fn(|cx| pending.respond.poll_reset(cx)).await;
        }
    }

    /// Answers 200 with the destination's baggage and gives the stream.
    ///
    /// # Errors
    /// The client is gone.
    pub fn accept(mut self, baggage: Option<HeaderValue>) -> Result<Stream, AcceptError> {
        let mut response = Response::new(());
        if let Some(baggage) = baggage {
            response.headers_mut().insert(BAGGAGE, baggage);
        }
        let Some(Pending { place, mut respond, receive }) = self.pending.take() else {
            return Err(AcceptError(h2::Reason::INTERNAL_ERROR.into()));
        };
        match respond.send_response(response, false) {
            Ok(send) => Ok(Stream::new(Arc::new(place), send, receive)),
            Err(error) => {
                place.activity().count_early_reset();
                Err(AcceptError(error))
            }
        }
    }

    /// Answers with `status` and ends the stream; no byte of the client's goes anywhere. `details` is for the operator of
    /// the client (`proxy-status`, RFC 9209), may be empty, and must name nothing that the client may not know.
    ///
    /// # Errors
    /// The client is gone.
    pub fn refuse(mut self, status: StatusCode, details: &str) -> Result<(), AcceptError> {
        let Some(Pending { place, mut respond, receive: _receive }) = self.pending.take() else {
            return Ok(());
        };
        let sent = respond.send_response(answer(status, details), true);
        if sent.is_err() {
            place.activity().count_early_reset();
        }
        // Free before the connection wakes up over the rest.
        drop(place);
        sent.map(drop).map_err(AcceptError)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(mut pending) = self.pending.take() {
            let noop = &mut Context::from_waker(Waker::noop());
            if pending.respond.poll_reset(noop).is_ready() {
                pending.place.activity().count_early_reset();
            }
        }
    }
}

fn answer(status: StatusCode, details: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if let Some(value) = proxy_status(details) {
        response.headers_mut().insert(PROXY_STATUS, value);
    }
    response
}

/// `ambit; details="..."` with what a structured string allows (RFC 8941 section 3.3.3).
pub(crate) fn proxy_status(details: &str) -> Option<HeaderValue> {
    let plain = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    let text: String = details.chars().filter(plain).take(200).collect();
    if text.is_empty() { None } else { HeaderValue::try_from(format!("ambit; details=\"{text}\"")).ok() }
}

/// The target of a plain CONNECT (RFC 9113 section 8.5). The library has already reset a stream with a `:scheme` or `:path`, or
/// with connection-specific fields; here is the rest of A6 and, once more, all that must not depend on a library.
fn target(head: &Parts) -> Result<Authority, &'static str> {
    if head.method != Method::CONNECT {
        return Err("only CONNECT is served");
    }
    let extended = head.extensions.get::<h2::ext::Protocol>().is_some();
    if extended || head.uri.scheme().is_some() || head.uri.path_and_query().is_some() {
        return Err("CONNECT with :protocol, :scheme or :path");
    }
    let framing: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];
    if framing.iter().any(|name| head.headers.contains_key(name)) {
        return Err("CONNECT with content-length or transfer-encoding");
    }
    let Some(authority) = head.uri.authority() else { return Err("CONNECT without :authority") };
    if head.headers.get_all(HOST).iter().any(|host| host.as_bytes() != authority.as_str().as_bytes()) {
        return Err("CONNECT with a host other than its :authority");
    }
    authority.as_str().parse().map_err(|invalid: crate::InvalidAuthority| invalid.reason())
}
