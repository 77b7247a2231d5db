//! HBONE: TCP connections as HTTP/2 CONNECT streams inside a tunnel, byte-compatible with Istio's.
//!
//! A tunnel runs over any byte stream ([`Carrier`]); in the mesh that is mutual TLS. The client side is
//! [`Pool`] (or one [`client::Connection`]), the server side is [`server::serve`]; both give a [`Stream`] of bytes with
//! TCP's manners: half-close each way, reset, back-pressure. Headers carry telemetry only and decide nothing.

mod activity;
pub mod authority;
pub mod carrier;
pub mod client;
mod engine;
pub mod headers;
mod headroom;
mod keepalive;
mod library;
pub mod pool;
pub mod server;
pub mod settings;
pub mod stream;

pub use authority::{Authority, InvalidAuthority};
pub use carrier::{Buffered, Carrier, Received};
pub use client::{ConnectRequest, Connection, H2Error, OpenError, Opened, ResponseHead};
pub use headers::{Baggage, Forwarded, TraceParent};
pub use headroom::Headroom;
pub use pool::{ConnectError, Connector, Key, Pool, PoolSettings, Rotation};
pub use server::{Incoming, ServeError, Served, serve};
pub use settings::{ClientSettings, Engine, ServerSettings};
pub use stream::Stream;
