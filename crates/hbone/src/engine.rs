//! HTTP/2 for tunnels: the part of the protocol that CONNECT streams need, and every limit that guards it.
//!
//! `machine` decides and does no I/O; `core` joins it to a carrier, under one lock that only the tunnel's own tasks
//! take; `client`, `server` and `stream` are its faces.

pub(crate) mod client;
mod core;
mod early;
mod fields;
mod frame;
mod guards;
#[allow(dead_code)] // The table's size stays at its start.
pub(crate) mod hpack;
mod local;
mod machine;
mod output;
pub(crate) mod server;
pub(crate) mod stream;
mod window;
