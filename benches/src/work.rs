//! The work that every path carries: one client and one server of our own, the same for all.

pub mod bulk;
pub mod churn;
pub mod connect;
pub mod load;
pub mod message;
pub mod pattern;
pub mod recorder;
mod requests;
pub mod server;
pub mod shared;
