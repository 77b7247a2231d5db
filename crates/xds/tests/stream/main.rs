//! Client and server over HTTP/2 in memory, with the clock moved by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod backoff;
mod foreign;
mod network;
mod said;
mod sync;
