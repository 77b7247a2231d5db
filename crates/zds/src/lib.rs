//! ZDS, the socket over which the node agent hands pods to ztunnel: both ends.
//!
//! The agent listens ([`server::Server`]) and keeps the pods of its node in a [`registry::Registry`]; a proxy connects
//! ([`client::Client`]) and is told of each pod's identity and network namespace. The messages are Istio's
//! (`istio.workload.zds`), one per datagram of a `SOCK_SEQPACKET` unix socket, each answered before the next is sent:
//!
//! 1. proxy: hello;
//! 2. agent: every pod, as an add that carries the namespace's descriptor, or as a keep when the agent lost it;
//! 3. agent: snapshot sent; the proxy drops the pods that were not named;
//! 4. agent: adds and removals as they happen.
//!
//! What is said is decided without I/O: `conversation` for the agent, `session` for the proxy.
//! A pod's identity is what came with its namespace's descriptor over this socket, and nothing else.

pub mod client;
pub mod registry;
pub mod server;

mod backoff;
mod conversation;
mod desired;
mod identity;
mod listening;
mod session;
mod socket;
#[cfg(test)]
mod testing;
mod wire;

pub use identity::WorkloadIdentity;
pub use wire::Violation;
