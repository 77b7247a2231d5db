//! The byte stream below HTTP/2, watched: how much arrived, and whether the peer began with SETTINGS as it must
//! (RFC 9113 section 3.4).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::activity::Activity;

const FRAME_HEAD: usize = 9;
const SETTINGS: u8 = 4;
const ACK: u8 = 1;

/// How far the peer is with its first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Bytes before the first frame that somebody else checks.
    Preface {
        left: usize,
    },
    Head {
        bytes: [u8; FRAME_HEAD],
        filled: usize,
    },
    Payload {
        left: usize,
    },
    Done,
}

impl Opening {
    fn frame() -> Self {
        Self::Head { bytes: [0; FRAME_HEAD], filled: 0 }
    }

    /// Takes what arrived. `Err` when the first frame is not SETTINGS.
    fn advance(&mut self, mut arrived: &[u8]) -> Result<(), ()> {
        loop {
            *self = match *self {
                Self::Done => return Ok(()),
                Self::Preface { left: 0 } => Self::frame(),
                Self::Payload { left: 0 } => Self::Done,
                Self::Head { bytes, filled: FRAME_HEAD } => {
                    if bytes[3] != SETTINGS || bytes[4] & ACK != 0 {
                        return Err(());
                    }
                    let left = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
                    Self::Payload { left }
                }
                _ if arrived.is_empty() => return Ok(()),
                Self::Preface { left } => Self::Preface { left: left - skip(&mut arrived, left) },
                Self::Payload { left } => Self::Payload { left: left - skip(&mut arrived, left) },
                Self::Head { mut bytes, filled } => {
                    let before = arrived;
                    let taken = skip(&mut arrived, FRAME_HEAD - filled);
                    bytes[filled..filled + taken].copy_from_slice(&before[..taken]);
                    Self::Head { bytes, filled: filled + taken }
                }
            };
        }
    }
}

fn skip(arrived: &mut &[u8], most: usize) -> usize {
    let taken = arrived.len().min(most);
    *arrived = &arrived[taken..];
    taken
}

/// A byte stream that reports to an [`Activity`].
#[derive(Debug)]
pub(crate) struct Watched<IO> {
    io: IO,
    activity: Arc<Activity>,
    opening: Opening,
}

impl<IO> Watched<IO> {
    /// Watches a server's bytes: its first are SETTINGS.
    pub(crate) fn from_server(io: IO, activity: Arc<Activity>) -> Self {
        Self { io, activity, opening: Opening::frame() }
    }

    /// Watches a client's bytes: SETTINGS come after the preface.
    pub(crate) fn from_client(io: IO, activity: Arc<Activity>) -> Self {
        const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
        Self { io, activity, opening: Opening::Preface { left: PREFACE } }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        space: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = space.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, space))?;
        let arrived = &space.filled()[before..];
        this.activity.count_received(arrived.len());
        if this.opening != Opening::Done {
            if this.opening.advance(arrived).is_err() {
                let error =
                    io::Error::other("the peer does not speak HTTP/2: its first frame is not SETTINGS");
                return Poll::Ready(Err(error));
            }
            if this.opening == Opening::Done {
                this.activity.settle();
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

    #[test]
    fn settings_must_come_first() {
        assert_eq!(Opening::frame().advance(EMPTY_SETTINGS), Ok(()));
        let ack = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
        let ping = &[0, 0, 8, 6, 0, 0, 0, 0, 0];
        assert_eq!(Opening::frame().advance(ack), Err(()));
        assert_eq!(Opening::frame().advance(ping), Err(()));
        assert_eq!(Opening::frame().advance(b"HTTP/1.1 400 Bad Request"), Err(()));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(cuts in prop::collection::vec(1usize..20, 1..40), payload in 0u8..30) {
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            bytes.extend([0, 0, payload, 4, 0, 0, 0, 0, 0]);
            bytes.extend(vec![0; payload as usize]);
            let end = bytes.len();
            bytes.extend([9; 800]);
            let mut opening = Opening::Preface { left: 24 };
            let mut at = 0;
            for cut in cuts {
                prop_assert_eq!(opening.advance(&bytes[at..at + cut]), Ok(()));
                at += cut;
                prop_assert_eq!(opening == Opening::Done, at >= end);
            }
        }
    }
}
