//! First bytes: what the carried connection sends while its CONNECT waits for an answer, on its way already.

use std::pin::Pin;
use std::task::{Context, Poll};

use ambit_transport::Ahead;
use tokio::io::{AsyncRead, AsyncWrite};

use super::stream::Stream;

/// Bytes that are sent before the answer, at most: one read. They are kept until then, in case the request must be sent
/// anew; more would make a bulk stream no faster.
const MOST: usize = 16 * 1024;

/// Moves first bytes from the carried connection into its stream.
#[derive(Debug)]
pub(super) struct Early<'a, S> {
    client: Option<&'a mut Ahead<S>>,
    sent: usize,
}

impl<'a, S: AsyncRead + Unpin> Early<'a, S> {
    /// Without a client it moves nothing.
    pub(super) fn new(client: Option<&'a mut Ahead<S>>) -> Self {
        Self { client, sent: 0 }
    }

    /// Moves what there is, and the end. Ready when the stream takes no more: its answer says why.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<()> {
        let Some(client) = &mut self.client else { return Poll::Pending };
        loop {
            while let rest = &client.held()[self.sent..]
                && !rest.is_empty()
            {
                match Pin::new(&mut *stream).poll_write(cx, rest) {
                    Poll::Ready(Ok(written)) => self.sent += written,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            if client.ends() {
                return match Pin::new(stream).poll_shutdown(cx) {
                    Poll::Ready(Err(_)) => Poll::Ready(()),
                    Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
                };
            }
            if client.poll_more(cx, MOST).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// The answer is 200: what was sent needs to be kept no longer. Gives how much it was.
    pub(super) fn keep_nothing(self) -> u64 {
        if let Some(client) = self.client {
            client.skip(self.sent);
        }
        self.sent as u64
    }
}
