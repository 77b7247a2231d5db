//! Configuration over the wire: Istio's messages to and from the model, and both ends of incremental discovery.
//!
//! - [`wire`]: one resource, bytes to model and back; what is unknown narrows, and says why.
//! - [`client`]: subscribes, applies, accepts or rejects, resumes after a loss. Its state machine does no I/O.
//! - [`configuration`]: what a proxy publishes of it, one snapshot behind one pointer.
//! - [`server`]: one [`server::Store`] of encoded resources, fanned out by reference; every client is sent
//!   only what differs from what it has.

pub mod client;
pub mod configuration;
mod discovery;
pub mod kind;
pub mod node;
pub mod server;
pub mod wire;

pub use client::Client;
pub use configuration::{Configuration, Writer, configuration};
pub use kind::Kind;
pub use node::Node;
pub use server::{Resource, Server, Store};
pub use wire::Rejection;
