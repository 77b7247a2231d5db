//! Sealed records on their way to the stream below.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

/// Most records in one write call: Linux takes up to 1024 slices, and 64 full ones are a megabyte.
const SLICES: usize = 64;
/// An empty queue keeps room for that many records, and gives back what is more.
const KEPT: usize = 8;

/// Whole records in order. The first may have been written in part.
#[derive(Default)]
pub(super) struct Queue {
    records: VecDeque<Vec<u8>>,
    /// Bytes of the first record that are written.
    written: usize,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, record: Vec<u8>) {
        self.bytes += record.len();
        self.records.push_back(record);
    }

    /// Bytes that are not written.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets every record of which nothing was written.
    pub(super) fn truncate(&mut self) {
        self.records.truncate(usize::from(self.written > 0));
        self.bytes = self.records.iter().map(Vec::len).sum::<usize>() - self.written;
    }

    /// Writes until nothing is left.
    pub(super) fn poll_write<IO: AsyncWrite + Unpin>(
        &mut self,
        io: &mut IO,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.bytes > 0 {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, record) in slices.iter_mut().zip(&self.records) {
                let written = if count == 0 { self.written } else { 0 };
                *slice = IoSlice::new(record.get(written..).unwrap_or_default());
                count += 1;
            }
            let taken = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &slices[..count]))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(taken);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut taken: usize) {
        self.bytes = self.bytes.saturating_sub(taken);
        while let Some(first) = self.records.front() {
            let left = first.len() - self.written;
            if taken < left {
                self.written += taken;
                return;
            }
            taken -= left;
            self.written = 0;
            self.records.pop_front();
        }
        self.records.shrink_to(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_test::io::Builder;
    use tokio_test::task::spawn;

    use super::*;

    proptest! {
        #[test]
        fn every_byte_is_written_once_in_order(
            sizes in proptest::collection::vec(1..400_usize, 1..200),
            room in 1..900_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut queue = Queue::default();
            let mut expected = Vec::new();
            for (number, size) in sizes.iter().enumerate() {
                let record = vec![number as u8; *size];
                expected.extend_from_slice(&record);
                queue.push(record);
            }
            prop_assert_eq!(queue.bytes(), expected.len());
            let seen = runtime.block_on(async {
                let (mut near, mut far) = tokio::io::duplex(room);
                let send = async move {
                    std::future::poll_fn(|cx| queue.poll_write(&mut near, cx)).await.unwrap();
                    assert_eq!((queue.bytes(), queue.records.len(), queue.written), (0, 0, 0));
                    assert!(queue.records.capacity() <= 2 * KEPT);
                };
                let mut seen = Vec::new();
                let ((), read) = tokio::join!(send, tokio::io::AsyncReadExt::read_to_end(&mut far, &mut seen));
                read.unwrap();
                seen
            });
            prop_assert!(seen == expected);
        }
    }

    #[test]
    fn what_is_begun_is_not_forgotten() {
        let mut queue = Queue::default();
        queue.push(b"first".to_vec());
        queue.push(b"second".to_vec());
        queue.advance(2);
        queue.truncate();
        assert_eq!(queue.bytes(), 3);
        let mut io = Builder::new().write(b"rst").build();
        assert!(matches!(spawn(()).enter(|cx, _| queue.poll_write(&mut io, cx)), Poll::Ready(Ok(()))));
        queue.push(b"third".to_vec());
        queue.truncate();
        assert_eq!(queue.bytes(), 0);
    }
}
