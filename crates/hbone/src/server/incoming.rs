//! One CONNECT that waits for its answer.

use ambit_model::Text;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::Answer;
use super::error::AcceptError;
use crate::authority::Authority;
use crate::headers::{BAGGAGE, Baggage, FORWARDED, Forwarded, TRACEPARENT, TraceParent, X_FORWARDED_NETWORK};
use crate::stream::Stream;
use crate::{engine, library};

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
enum Pending {
    Own(engine::server::Pending),
    Library(library::server::Pending),
}

impl Incoming {
    pub(crate) fn own(
        authority: Authority,
        headers: HeaderMap,
        id: u32,
        pending: engine::server::Pending,
    ) -> Self {
        Self { authority, headers, id, pending: Some(Pending::Own(pending)) }
    }

    pub(crate) fn library(
        authority: Authority,
        headers: HeaderMap,
        id: u32,
        pending: library::server::Pending,
    ) -> Self {
        Self { authority, headers, id, pending: Some(Pending::Library(pending)) }
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
        match &mut self.pending {
            Some(Pending::Own(pending)) => pending.canceled().await,
            Some(Pending::Library(pending)) => pending.canceled().await,
            None => {}
        }
    }

    /// Answers 200 with the destination's baggage and gives the stream.
    ///
    /// # Errors
    /// The client is gone.
    pub fn accept(mut self, baggage: Option<HeaderValue>) -> Result<Stream, AcceptError> {
        let answer = Answer::accepted(baggage);
        match self.pending.take() {
            Some(Pending::Own(pending)) => pending.accept(&answer).map(Stream::own),
            Some(Pending::Library(pending)) => pending.accept(answer).map(Stream::library),
            None => Err(AcceptError::new("it has been answered")),
        }
    }

    /// Answers with `status` and ends the stream; no byte of the client's goes anywhere. `details` is for the operator of
    /// the client (`proxy-status`, RFC 9209), may be empty, and must name nothing that the client may not know.
    ///
    /// # Errors
    /// The client is gone.
    pub fn refuse(mut self, status: StatusCode, details: &str) -> Result<(), AcceptError> {
        let answer = Answer::refused(status, details);
        match self.pending.take() {
            Some(Pending::Own(pending)) => pending.refuse(&answer),
            Some(Pending::Library(pending)) => pending.refuse(answer),
            None => Ok(()),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        match self.pending.take() {
            Some(Pending::Own(pending)) => pending.leave(),
            Some(Pending::Library(pending)) => pending.leave(),
            None => {}
        }
    }
}
