//! What an admin route says.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use hyper::body::{Frame, SizeHint};
use serde_json::Value;

use super::document::Document;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Body,
}

impl Answer {
    /// 200 with text.
    pub fn text(body: impl Into<String>) -> Self {
        Self::error(StatusCode::OK, body)
    }

    /// 200 with JSON, indented: people read it too.
    pub fn json(value: &Value) -> Self {
        Self { status: StatusCode::OK, content_type: "application/json", body: format!("{value:#}\n").into() }
    }

    /// 200 with JSON that is written while it is sent. What fits into one part is sent whole, with its length.
    pub fn document(mut document: Document) -> Self {
        let body = match (document.next(), document.next()) {
            (first, None) => first.unwrap_or_default().into(),
            (first, second) => {
                Body(Content::Parts(Box::new(first.into_iter().chain(second).chain(document))))
            }
        };
        Self { status: StatusCode::OK, content_type: "application/json", body }
    }

    /// Another status with a line that says why.
    pub fn error(status: StatusCode, why: impl Into<String>) -> Self {
        let mut body = why.into();
        if !body.ends_with('\n') {
            body.push('\n');
        }
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }
}

impl From<Answer> for Response<Body> {
    fn from(answer: Answer) -> Self {
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

/// What an answer says: there as a whole, or made part by part, each when the one before is on its way.
pub struct Body(Content);

enum Content {
    Whole(Bytes),
    Parts(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self(Content::Whole(whole))
    }
}

impl From<String> for Body {
    fn from(whole: String) -> Self {
        Bytes::from(whole).into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Content::Whole(whole) => whole.fmt(f),
            Content::Parts(_) => f.write_str("parts"),
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let part = match &mut self.0 {
            Content::Whole(whole) => Some(std::mem::take(whole)).filter(|whole| !whole.is_empty()),
            Content::Parts(parts) => parts.next(),
        };
        Poll::Ready(part.map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Content::Whole(whole) if whole.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Content::Whole(whole) => SizeHint::with_exact(whole.len() as u64),
            Content::Parts(_) => SizeHint::default(),
        }
    }
}
