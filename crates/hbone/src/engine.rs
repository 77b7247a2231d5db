//! HTTP/2 for tunnels: the part of the protocol that CONNECT streams need, and every limit that guards it.

#[allow(dead_code)] // Until the state machine uses it.
pub(crate) mod hpack;
