//! A request's body, kept as far as it has been read while it may have to be sent again.

use std::future::poll_fn;
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
use smallvec::SmallVec;

use crate::body::{BodyError, Progress, size};
use crate::copy::{Copied, Copier, copy};

/// Most bytes that are kept. Of a longer body nothing is: it is sent once.
const MOST: usize = 64 * 1024;

/// The client's body. Each try sends a [`Try`] of it; there is one at a time.
#[derive(Debug)]
pub struct Replay {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    /// `None` once it has ended.
    from: Option<Incoming>,
    bytes: Arc<RequestBytes>,
    /// What was read so far and is kept.
    kept: Kept,
    /// Whether more is kept, once it is sent.
    keeping: bool,
    /// Whether all that was read is kept.
    whole: bool,
    /// Its length, where the client said it.
    length: Option<u64>,
    failed: bool,
    /// Who gets a copy of what is read.
    copies: SmallVec<[Copier; 1]>,
}

#[derive(Debug, Default)]
struct Kept {
    data: Vec<Bytes>,
    bytes: usize,
    trailers: Option<HeaderMap>,
}

/// The body of one try, on its way to an endpoint.
#[derive(Debug)]
pub struct Try {
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
            kept: Kept::default(),
            keeping: true,
            whole: true,
            length,
            failed: false,
            copies: SmallVec::new(),
        };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// The first bytes of the body, `most` at most, and whether they are all of it. A try sends them all the same. Where
    /// they may be a part, nobody waits for more than `most`.
    ///
    /// # Errors
    /// The client broke off.
    pub async fn ahead(&self, most: usize, partly: bool) -> Result<(Bytes, bool), BodyError> {
        poll_fn(|cx| {
            let mut shared = self.shared.lock();
            let enough = if partly { most } else { most.saturating_add(1) };
            while shared.kept.bytes < enough && shared.from.is_some() {
                if let Some(Err(error)) = ready!(shared.read(true, cx)) {
                    return Poll::Ready(Err(error));
                }
            }
            Poll::Ready(Ok(()))
        })
        .await?;
        let shared = self.shared.lock();
        let whole = shared.from.is_none() && shared.kept.bytes <= most;
        let mut bytes = shared.kept.data.concat();
        bytes.truncate(most);
        Ok((bytes.into(), whole))
    }

    /// A copy of the body, of which nothing was read yet: it follows what a try reads, and is lost where it falls behind.
    pub fn copy(&self) -> Copied {
        let mut shared = self.shared.lock();
        let (copier, mut copied) = copy(shared.length);
        // What was looked at ahead of any try.
        let ahead = (0..shared.frames()).filter_map(|at| shared.kept(at)).all(|frame| copier.give(&frame));
        match shared.from {
            _ if !ahead => {}
            None if shared.frames() > 0 => copier.end(),
            Some(_) => shared.copies.push(copier),
            None => copied.end(),
        }
        copied
    }

    /// Nothing is kept: there will be no second try.
    pub fn forget(&self) {
        self.shared.lock().keeping = false;
    }

    /// Whether all of it could be sent again now: it was kept as far as it was read, and no try holds it any more.
    pub fn is_possible(&self) -> bool {
        let shared = self.shared.lock();
        shared.whole && !shared.failed && (shared.from.is_none() || Arc::strong_count(&self.shared) == 1)
    }

    /// The body for a try, from the beginning, and how far it has come.
    pub fn body(&self) -> (Try, Arc<Progress>) {
        let progress = Arc::<Progress>::default();
        let body = Try { shared: self.shared.clone(), progress: progress.clone(), at: 0, sent: 0 };
        if body.is_end_stream() {
            progress.end();
        }
        (body, progress)
    }
}

impl Shared {
    /// What has been kept at this place.
    fn kept(&self, at: usize) -> Option<Frame<Bytes>> {
        let kept = &self.kept;
        match kept.data.get(at) {
            Some(data) => Some(Frame::data(data.clone())),
            None if at == kept.data.len() => kept.trailers.clone().map(Frame::trailers),
            None => None,
        }
    }

    fn frames(&self) -> usize {
        self.kept.data.len() + usize::from(self.kept.trailers.is_some())
    }

    /// Keeps what was read; `ahead` of any try, whatever it is.
    fn keep(&mut self, frame: &Frame<Bytes>, ahead: bool) {
        if !ahead && !self.keeping {
            self.whole = false;
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.kept.bytes += data.len();
            self.kept.data.push(data.clone());
        } else if let Some(trailers) = frame.trailers_ref() {
            self.kept.trailers = Some(trailers.clone());
        }
        if !ahead && self.kept.bytes > MOST {
            self.kept = Kept::default();
            (self.keeping, self.whole) = (false, false);
        }
    }

    fn read(&mut self, ahead: bool, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(from) = &mut self.from else { return Poll::Ready(None) };
        let mut frame = ready!(Pin::new(&mut *from).poll_frame(cx));
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            strip_trailers(trailers);
        }
        let ended = frame.is_none() || from.is_end_stream();
        match &frame {
            Some(Ok(frame)) => {
                self.bytes.request(size(frame));
                self.keep(frame, ahead);
                self.copies.retain(|copier| copier.give(frame));
            }
            Some(Err(_)) => self.failed = true,
            None => {}
        }
        if ended {
            self.from = None;
            for copier in std::mem::take(&mut self.copies).iter().filter(|_| !self.failed) {
                copier.end();
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
    }
}

impl Body for Try {
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
            None => ready!(shared.read(false, cx)),
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
