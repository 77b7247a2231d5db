//! A peer that sends one thing over and over, and counts.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::raw::{GOAWAY, Raw, read_frame};

/// How a flood ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The connection was closed, with the code of its GOAWAY if there was one.
    Cut(Option<u32>),
    /// Nothing more was read of it.
    Stalled,
    /// Everything was taken.
    AllTaken,
}

#[derive(Debug)]
pub(crate) struct Flooded {
    pub(crate) ending: Ending,
    /// Bytes that were taken, the pipe's included.
    pub(crate) taken: usize,
    /// Bytes that came back.
    pub(crate) said: usize,
}

/// Sends what `next` makes of each turn, at most so often; reads what comes back or leaves it.
pub(crate) async fn flood(
    raw: Raw,
    most: usize,
    read: bool,
    mut next: impl FnMut(usize) -> Vec<u8>,
) -> Flooded {
    let (mut from, mut to) = tokio::io::split(raw.io);
    let reading = read.then(|| {
        tokio::spawn(async move {
            let (mut said, mut goaway) = (0, None);
            while let Some(frame) = read_frame(&mut from).await {
                said += 9 + frame.payload.len();
                if frame.kind == GOAWAY {
                    goaway = Some(frame.word(4));
                }
            }
            (said, goaway)
        })
    });
    let mut taken = 0;
    let mut ending = Ending::AllTaken;
    for turn in 0..most {
        let bytes = next(turn);
        // In paused time, blocked for so long is blocked for good.
        match timeout(Duration::from_secs(3), to.write_all(&bytes)).await {
            Ok(Ok(())) => taken += bytes.len(),
            Ok(Err(_)) => {
                ending = Ending::Cut(None);
                break;
            }
            Err(_) => {
                ending = Ending::Stalled;
                break;
            }
        }
    }
    if ending != Ending::Stalled {
        drop(to.shutdown().await);
    }
    let Some(reading) = reading else { return Flooded { ending, taken, said: 0 } };
    let (said, goaway) = if ending == Ending::Stalled {
        reading.abort();
        (0, None)
    } else {
        drop(to);
        reading.await.unwrap()
    };
    if goaway.is_some_and(|code| code != 0) || ending != Ending::AllTaken {
        ending = if ending == Ending::Stalled { ending } else { Ending::Cut(goaway) };
    }
    Flooded { ending, taken, said }
}
