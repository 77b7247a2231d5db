//! Which host and port does a client name? (RFC 9110 section 7.2, RFC 3986 section 3.2)

use std::fmt;

/// Host and port of a request, in lower case and without the dot at the end of the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    text: String,
    host: usize,
    port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port` or `[address]:port`. `None` for anything else: user information, an empty host, a port
    /// that is no number, characters that no host has.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = split(text)?;
        let port = match port {
            None => None,
            Some(digits) => {
                Some(digits.parse::<u16>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))?)
            }
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let valid = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
            None => !host.is_empty() && host.bytes().all(is_host_byte),
        };
        if !valid {
            return None;
        }
        let mut text = host.to_ascii_lowercase();
        let host = text.len();
        if let Some(port) = port {
            text.push(':');
            text.push_str(&port.to_string());
        }
        Some(Self { text, host, port })
    }

    /// Of what names nobody.
    pub(super) fn nobody() -> Self {
        Self { text: String::new(), host: 0, port: None }
    }

    /// Host, and port where the client named one.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host alone; an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        &self.text[..self.host]
    }

    /// The port that the client named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Host and the text after the colon.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let end = text.find(']')? + 1;
        return match text[end..].strip_prefix(':') {
            Some(port) => Some((&text[..end], Some(port))),
            None if end == text.len() => Some((text, None)),
            None => None,
        };
    }
    match text.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((text, None)),
    }
}

/// Letters of a registered name: unreserved, and what DNS allows beyond. No `%`: a host is never decoded.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_made_equal() {
        for (sent, canonical, host, port) in [
            ("Cart.Shop", "cart.shop", "cart.shop", None),
            ("cart.shop.", "cart.shop", "cart.shop", None),
            ("cart.shop.:8080", "cart.shop:8080", "cart.shop", Some(8080)),
            ("cart:080", "cart:80", "cart", Some(80)),
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[FD00::1]:80", "[fd00::1]:80", "[fd00::1]", Some(80)),
            ("[::1]", "[::1]", "[::1]", None),
            ("a_b.c", "a_b.c", "a_b.c", None),
        ] {
            let authority = Authority::parse(sent).unwrap();
            assert_eq!(
                (authority.as_str(), authority.host(), authority.port()),
                (canonical, host, port),
                "{sent}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for sent in [
            "", ".", ":80", "a:", "a:b", "a:+80", "a:65536", "a:80:80", "user@a", "a b", "a/b", "a?b", "a#b",
            "a\\b", "[::1", "[::1]x", "[::1]:", "::1", "[a]", "a%2e", "\u{e9}",
        ] {
            assert_eq!(Authority::parse(sent), None, "{sent:?}");
        }
    }
}
