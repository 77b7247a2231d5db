//! Copies of a request's body for mirrors: they never hold back the request that they are copied from.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::body::{BodyError, size};

/// Most that a copy may be behind, in frames and in bytes: beyond, it is lost.
const FRAMES: usize = 64;
const BYTES: usize = 1 << 20;

/// The end of a copy that is written. Dropped without [`Copier::end`], the copy breaks off.
#[derive(Debug)]
pub struct Copier {
    frames: mpsc::Sender<Option<Frame<Bytes>>>,
    waiting: Arc<AtomicUsize>,
}

/// The copy.
#[derive(Debug)]
pub struct Copied {
    frames: mpsc::Receiver<Option<Frame<Bytes>>>,
    waiting: Arc<AtomicUsize>,
    length: Option<u64>,
    ended: bool,
}

/// A copy of a body of this length, where it is known.
pub fn copy(length: Option<u64>) -> (Copier, Copied) {
    // One more than may be behind: the end has its place.
    let (sender, receiver) = mpsc::channel(FRAMES + 1);
    let waiting = Arc::<AtomicUsize>::default();
    let copier = Copier { frames: sender, waiting: waiting.clone() };
    (copier, Copied { frames: receiver, waiting, length, ended: false })
}

impl Copier {
    /// Gives the copy a frame; whether it can still be whole.
    pub fn give(&self, frame: &Frame<Bytes>) -> bool {
        let bytes = size(frame) as usize;
        let copied = match (frame.data_ref(), frame.trailers_ref()) {
            (Some(data), _) => Frame::data(data.clone()),
            (None, Some(trailers)) => Frame::trailers(trailers.clone()),
            (None, None) => return true,
        };
        let room = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= BYTES;
        room && self.frames.capacity() > 1 && self.frames.try_send(Some(copied)).is_ok()
    }

    /// The body has ended.
    pub fn end(&self) {
        // Nobody may be there to hear it.
        self.frames.try_send(None).ok();
    }
}

impl Copied {
    /// There is nothing more, and nobody to say so.
    pub fn end(&mut self) {
        self.ended = true;
    }
}

impl Body for Copied {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let frame = ready!(self.frames.poll_recv(cx));
        Poll::Ready(match frame {
            Some(Some(frame)) => {
                self.waiting.fetch_sub(size(&frame) as usize, Ordering::Relaxed);
                Some(Ok(frame))
            }
            Some(None) => {
                self.ended = true;
                None
            }
            None => {
                self.ended = true;
                Some(Err(BodyError::Lost))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(vec![7; length].into())
    }

    #[tokio::test]
    async fn a_copy_is_whole_or_breaks_off() {
        let (copier, copied) = copy(None);
        assert!(copier.give(&data(3)) && copier.give(&data(4)));
        copier.end();
        drop(copier);
        assert_eq!(copied.collect().await.unwrap().to_bytes().len(), 7);
        let (copier, copied) = copy(None);
        assert!(copier.give(&data(3)));
        drop(copier);
        copied.collect().await.unwrap_err();
    }

    #[tokio::test]
    async fn who_falls_behind_is_lost() {
        let (copier, _copied) = copy(None);
        assert!(copier.give(&data(BYTES)));
        assert!(!copier.give(&data(1)));
        let (copier, mut copied) = copy(None);
        assert_eq!((0..=FRAMES).filter(|_| copier.give(&data(1))).count(), FRAMES);
        copied.frame().await.unwrap().unwrap();
        assert!(copier.give(&data(1)), "who catches up has room again");
    }
}
