//! Tunnels over the general HTTP/2 library: the engine to fall back to, and the other engine's oracle.

pub(crate) mod client;
pub(crate) mod server;
pub(crate) mod stream;
mod watched;
