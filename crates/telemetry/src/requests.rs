//! Requests: what is counted and logged about each, once, at its end. The waypoint's counterpart of [`crate::report`].

mod flags;
mod log;
mod report;

pub use flags::RequestFlags;
pub use log::{Words, is_logged};
pub use report::{RequestBytes, RequestReport};
