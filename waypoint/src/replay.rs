//! A request's body, kept as far as it has been read while it may have to be sent again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use ambit_policy::request::strip_trailers;
use ambit_telemetry::requests::RequestBytes;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;

use crate::body::{BodyError, Progress, size};

/// Most bytes that are kept. Of a longer body nothing is: it is sent once.
const MOST: usize = 64 * 1024;

/// The client's body. Each try sends a [`RequestBody`] of it; there is one at a time.
#[derive(Debug)]
pub struct Replay {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` once it has ended.
    from: Option<Incoming>,
    bytes: Arc<RequestBytes>,
    /// What was read so far; `None` where it is not kept, or not any more.
    kept: Option<Kept>,
    /// Its length, where the client said it.
    length: Option<u64>,
    /// Whether anything was read.
    begun: bool,
    failed: bool,
}

#[derive(Debug, Default)]
struct Kept {
    data: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

/// The body of one try, on its way to an endpoint.
#[derive(Debug)]
pub struct RequestBody {
    shared: Arc<Mutex<Shared>>,
    progress: Arc<Progress>,
    /// Kept frames that this try has sent, trailers included.
    at: usize,
    /// Bytes that it has sent.
    sent: u64,
}

impl Replay {
    /// The client's body, counted in `bytes`.
    pub fn new(from: Incoming, bytes: Arc<RequestBytes>) -> Self {
        let none = from.is_end_stream();
        let length = from.size_hint().exact();
        let shared = Shared {
            from: (!none).then_some(from),
            bytes,
            kept: Some(Kept::default()),
            length,
            begun: false,
            failed: false,
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Nothing is kept: there will be no second try.
    pub fn forget(&self) {
        self.shared.lock().kept = None;
    }

    /// Whether all of it could be sent again now: it was kept as far as it was read, and no try holds it any more.
    pub fn is_possible(&self) -> bool {
        let shared = self.shared.lock();
        let whole = shared.kept.is_some() || !shared.begun;
        whole && !shared.failed && (shared.from.is_none() || Arc::strong_count(&self.shared) == 1)
    }

    /// The body for a try, from the beginning, and how far it has come.
    pub fn body(&self) -> (RequestBody, Arc<Progress>) {
        let progress = Arc::<Progress>::default();
        let body = RequestBody { shared: self.shared.clone(), progress: progress.clone(), at: 0, sent: 0 };
        if body.is_end_stream() {
            progress.end();
        }
        (body, progress)
    }
}

impl Shared {
    /// What has been kept at this place.
    fn kept(&self, at: usize) -> Option<Frame<Bytes>> {
        let kept = self.kept.as_ref()?;
        match kept.data.get(at) {
            Some(data) => Some(Frame::data(data.clone())),
            None if at == kept.data.len() => kept.trailers.clone().map(Frame::trailers),
            None => None,
        }
    }

    fn frames(&self) -> usize {
        self.kept.as_ref().map_or(0, |kept| kept.data.len() + usize::from(kept.trailers.is_some()))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        let Some(kept) = &mut self.kept else { return };
        if let Some(data) = frame.data_ref() {
            kept.bytes += data.len();
            kept.data.push(data.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            kept.trailers = Some(trailers.clone());
        }
        if kept.bytes > MOST {
            self.kept = None;
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(from) = &mut self.from else { return Poll::Ready(None) };
        let mut frame = ready!(Pin::new(&mut *from).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            strip_trailers(trailers);
        }
        self.begun = true;
        let ended = frame.is_none() || from.is_end_stream();
        match &frame {
            Some(Ok(frame)) => {
                self.bytes.request(size(frame));
                self.keep(frame);
            }
            Some(Err(_)) => self.failed = true,
            None => {}
        }
        if ended {
            self.from = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let mut shared = this.shared.lock();
        let frame = match shared.kept(this.at) {
            Some(frame) => Some(Ok(frame)),
            None => ready!(shared.read(cx)),
        };
        match &frame {
            Some(Ok(frame)) => {
                this.at += 1;
                this.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Some(Err(_)) => this.progress.fail(),
            None => {}
        }
        if frame.is_none() || (shared.from.is_none() && this.at >= shared.frames()) {
            this.progress.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let shared = self.shared.lock();
        shared.from.is_none() && self.at >= shared.frames()
    }

    fn size_hint(&self) -> SizeHint {
        match self.shared.lock().length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.sent)),
            None => SizeHint::default(),
        }
    }
}
