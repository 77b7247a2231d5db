//! A whole controller over real sockets: what nodes get, what they do not, and what survives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod captured;
mod certificates;
mod command;
mod configuration;
mod fixture;
mod hostile;
mod tokens;
mod waypoints;
