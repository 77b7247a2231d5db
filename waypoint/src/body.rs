//! Bodies on their way: passed on frame by frame, never collected, counted as they pass.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use ambit_policy::request::outlier::{Outcome, http_status};
use ambit_policy::request::told_status;
use ambit_telemetry::requests::{RequestBytes, RequestFlags, RequestReport};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::upstream::Lease;

/// What cut a body short.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The other side's connection failed.
    #[error("the body ended early: {0}")]
    Http(#[from] hyper::Error),
    /// The copy of a body fell behind, or its original broke off.
    #[error("the copy of the body is not whole")]
    Lost,
    /// The request may not take longer.
    #[error("the response did not end in time")]
    TimedOut,
}

/// How far a request body has come. The connection that sends it takes the next request only when it has ended.
#[derive(Debug, Default)]
pub struct Progress {
    ended: AtomicBool,
    failed: AtomicBool,
}

impl Progress {
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    /// Whether all of it was passed on.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the client broke it off.
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

/// The body of a response on its way to the client. At its end the request is reported.
#[derive(Debug)]
pub struct ResponseBody {
    from: Source,
    bytes: Arc<RequestBytes>,
    report: Option<RequestReport>,
    grpc: bool,
    deadline: Option<Pin<Box<Sleep>>>,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most bodies are the large one; a box would cost each an allocation"
)]
enum Source {
    Local(Option<Bytes>),
    Endpoint { body: Incoming, lease: Option<Lease> },
}

impl ResponseBody {
    /// Text of our own.
    pub fn local(text: Bytes, report: RequestReport) -> Self {
        let text = Some(text).filter(|text| !text.is_empty());
        Self {
            from: Source::Local(text),
            bytes: report.bytes(),
            report: Some(report),
            grpc: false,
            deadline: None,
        }
    }

    /// What an endpoint sends, until `deadline`. Its connection, held by `lease`, is free after it.
    pub fn endpoint(
        body: Incoming,
        lease: Lease,
        report: RequestReport,
        grpc: bool,
        deadline: Option<Instant>,
    ) -> Self {
        let bytes = report.bytes();
        let deadline = deadline.map(|deadline| Box::pin(sleep_until(deadline)));
        let from = Source::Endpoint { body, lease: Some(lease) };
        Self { from, bytes, report: Some(report), grpc, deadline }
    }

    /// Nothing, and somebody else reports.
    pub fn unreported() -> Self {
        Self { from: Source::Local(None), bytes: Arc::default(), report: None, grpc: false, deadline: None }
    }

    fn ended(&mut self) {
        if let Source::Endpoint { lease, .. } = &mut self.from
            && let Some(lease) = lease.take()
        {
            lease.release();
        }
        if let Some(report) = self.report.take() {
            report.finish();
        }
    }

    /// The endpoint has broken off.
    fn broken(&mut self) {
        if let Source::Endpoint { lease, .. } = &mut self.from
            && let Some(mut lease) = lease.take()
            && let Some(held) = lease.held()
        {
            held.failed();
        }
    }

    fn timed_out(&mut self) {
        self.deadline = None;
        self.broken();
        if let Some(mut report) = self.report.take() {
            report.flag(RequestFlags::TIMED_OUT).details("response_timeout_after_response_started");
            report.finish();
        }
    }

    fn failed(&mut self, error: &hyper::Error) {
        self.broken();
        if let Some(mut report) = self.report.take() {
            report.flag(RequestFlags::ENDED_BY_ENDPOINT);
            report.details(format!("upstream_reset_after_response_started{{{error}}}"));
            report.finish();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let frame = match &mut this.from {
            Source::Local(text) => text.take().map(|text| Ok(Frame::data(text))),
            Source::Endpoint { body, .. } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending => {
                    let Some(deadline) = &mut this.deadline else { return Poll::Pending };
                    ready!(deadline.as_mut().poll(cx));
                    this.timed_out();
                    return Poll::Ready(Some(Err(BodyError::TimedOut)));
                }
            },
        };
        match &frame {
            Some(Ok(frame)) => {
                this.bytes.response(size(frame));
                if this.grpc
                    && let Some(trailers) = frame.trailers_ref()
                    && let (Some(status), Some(report)) = (told_status(trailers), &mut this.report)
                {
                    report.grpc_status(status);
                    if let Source::Endpoint { lease: Some(lease), .. } = &mut this.from
                        && let Some(held) = lease.held()
                    {
                        held.tell(Outcome::Status(http_status(status)));
                    }
                }
                if this.is_end_stream() {
                    this.ended();
                }
            }
            Some(Err(error)) => this.failed(error),
            None => this.ended(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            Source::Local(text) => text.is_none(),
            Source::Endpoint { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            Source::Local(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Source::Endpoint { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // A body that is known to be empty is never asked.
        if self.report.is_some() && self.is_end_stream() {
            self.ended();
        }
    }
}

/// The bytes of a frame.
pub(crate) fn size(frame: &Frame<Bytes>) -> u64 {
    match (frame.data_ref(), frame.trailers_ref()) {
        (Some(data), _) => data.len() as u64,
        (None, Some(trailers)) => head_size(trailers),
        (None, None) => 0,
    }
}

/// The bytes of header fields.
pub fn head_size(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| (name.as_str().len() + value.len()) as u64).sum()
}
