//! `forwarded` (RFC 7239): the client's address for the record, and the service it asked for.

use std::net::SocketAddr;

use ambit_model::Text;
use http::HeaderValue;

use crate::authority::parse_hostname;

/// Bytes of the header that are looked at.
const MAX_LENGTH: usize = 1024;

/// What the source proxy says about the connection that it carries.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Forwarded {
    /// The client's address (`for=`). Written only: a receiver knows the source from its certificate.
    pub client: SocketAddr,
    /// The host name of the service that the client asked for (`host=`), if it asked for one.
    pub host: Option<Text>,
}

impl Forwarded {
    /// The header's value as Istio writes it: `for="ADDRESS:PORT"`, and `;host=NAME` when there is a name. A name that is not a
    /// DNS name is left out.
    pub fn encode(&self) -> Option<HeaderValue> {
        let client = self.client;
        let text = match self.host.as_deref().and_then(|host| parse_hostname(host).ok()) {
            Some(host) => format!("for=\"{client}\";host={host}"),
            None => format!("for=\"{client}\""),
        };
        HeaderValue::try_from(text).ok()
    }

    /// The `host=` of the first element that a peer sent, to name the service in telemetry; `None` when there is none, or no DNS
    /// name in it. `for=` is never read.
    pub fn host_of(value: &HeaderValue) -> Option<Text> {
        let text = value.to_str().ok().filter(|text| text.len() <= MAX_LENGTH)?;
        let mut rest = text;
        loop {
            let (name, after) = rest.split_once('=')?;
            let (value, after) = split_value(after)?;
            if name.trim_matches([' ', '\t', ';']).eq_ignore_ascii_case("host") {
                return parse_hostname(value).ok();
            }
            rest = after;
        }
    }
}

/// The value at the start, a token or a quoted string, and what follows its `;`. `None` at the end of the element.
fn split_value(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(quoted) = text.strip_prefix('"') {
        // A name needs no escapes: a value that has some is cut at them and refused as a name.
        let (value, after) = quoted.split_once('"')?;
        return Some((value, after));
    }
    let end = text.find([';', ',']).unwrap_or(text.len());
    let (value, after) = text.split_at(end);
    let after = if after.starts_with(',') { "" } else { after };
    Some((value.trim_end_matches([' ', '\t']), after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn host_of(text: &str) -> Option<Text> {
        Forwarded::host_of(&HeaderValue::try_from(text).unwrap())
    }

    #[test]
    fn writes_what_istio_writes() {
        let four = Forwarded { client: "127.0.0.1:80".parse().unwrap(), host: None };
        assert_eq!(four.encode().unwrap(), "for=\"127.0.0.1:80\"");
        let six = Forwarded { client: "[::1]:80".parse().unwrap(), host: Some("echo.default.svc".into()) };
        assert_eq!(six.encode().unwrap(), "for=\"[::1]:80\";host=echo.default.svc");
        let odd = Forwarded { host: Some("a;b=c".into()), ..four };
        assert_eq!(odd.encode().unwrap(), "for=\"127.0.0.1:80\"");
    }

    #[test]
    fn reads_only_the_host() {
        assert_eq!(host_of("for=\"[::1]:80\";host=Echo.default").as_deref(), Some("echo.default"));
        assert_eq!(host_of("host=\"echo.default\";for=x").as_deref(), Some("echo.default"));
        assert_eq!(host_of("for=x ; Host = echo ;proto=http").as_deref(), Some("echo"));
        assert_eq!(host_of("for=\"a;host=evil\";host=good").as_deref(), Some("good"));
        for text in
            ["", "for=x", "host", "host=", "host=a b", "host=\"a", "for=x, host=second", "host=\"a\\\"b\""]
        {
            assert_eq!(host_of(text), None, "{text:?}");
        }
        assert_eq!(host_of(&format!("for={};host=echo", "x".repeat(MAX_LENGTH))), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(value) = HeaderValue::from_bytes(&bytes) {
                let _ = Forwarded::host_of(&value);
            }
        }

        #[test]
        fn near_misses_never_panic(text in "((for|host|by)=?[\"a-z;=, ]{0,10};?,?){0,5}") {
            if let Some(host) = host_of(&text) {
                prop_assert!(parse_hostname(&host).is_ok());
            }
        }

        #[test]
        fn whatever_is_written_reads_back(client: SocketAddr, host in "[a-z][a-z0-9.-]{0,20}[a-z]") {
            let forwarded = Forwarded { client, host: parse_hostname(&host).ok() };
            prop_assert_eq!(Forwarded::host_of(&forwarded.encode().unwrap()), forwarded.host);
        }
    }
}
