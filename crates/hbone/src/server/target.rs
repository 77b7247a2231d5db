//! Whether a request is a plain CONNECT with a target (RFC 9113 section 8.5): the one check of both engines.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName};

use crate::authority::Authority;

/// What matters of a request whose form has been checked.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    /// The method is CONNECT.
    pub(crate) connect: bool,
    /// There is a `:protocol` (RFC 8441), `:scheme` or `:path`.
    pub(crate) extended: bool,
    pub(crate) authority: Option<&'a str>,
    pub(crate) headers: &'a HeaderMap,
}

/// The target, or what is wrong. An engine may have reset a stream over some of this (A6); here nothing depends on it.
pub(crate) fn target(head: &Head<'_>) -> Result<Authority, &'static str> {
    if !head.connect {
        return Err("only CONNECT is served");
    }
    if head.extended {
        return Err("CONNECT with :protocol, :scheme or :path");
    }
    let framing: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];
    if framing.iter().any(|name| head.headers.contains_key(name)) {
        return Err("CONNECT with content-length or transfer-encoding");
    }
    let Some(authority) = head.authority else { return Err("CONNECT without :authority") };
    if head.headers.get_all(HOST).iter().any(|host| host.as_bytes() != authority.as_bytes()) {
        return Err("CONNECT with a host other than its :authority");
    }
    authority.parse().map_err(|invalid: crate::InvalidAuthority| invalid.reason())
}
