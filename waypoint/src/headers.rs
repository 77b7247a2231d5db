//! Headers that this proxy itself reads and writes. Pure.

use std::net::IpAddr;

use ambit_policy::request::Scheme;
use http::header::{CONNECTION, CONTENT_TYPE, FORWARDED, HeaderName, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Version};
use rand::Rng;

/// The id by which one request is found in every log.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Who the client is, for applications that ask (Envoy's header).
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
/// The scheme by which the client came.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The addresses that the request came through.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What proxies say of the way that a request took, and of the request itself.
const SAID_BY_PROXIES: [HeaderName; 7] = [
    FORWARDED,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    REQUEST_ID,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-real-ip"),
];

/// Makes the headers of a request from outside of the mesh say what this proxy knows of its client. No proxy in front is
/// trusted (Istio `numTrustedProxies` 0), so nothing counts that the request says of its way: it may be invented.
pub fn from_outside(headers: &mut HeaderMap, client: IpAddr, scheme: Scheme) {
    for name in SAID_BY_PROXIES {
        headers.remove(name);
    }
    if let Ok(client) = HeaderValue::try_from(client.to_string()) {
        headers.insert(FORWARDED_FOR, client);
    }
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
}

/// Whether the client asks for another protocol on this connection (HTTP/1.1 only, RFC 9110 section 7.8).
pub fn upgrade(head: &Parts) -> Option<HeaderValue> {
    let asked = head.version == Version::HTTP_11 && names(&head.headers, CONNECTION, "upgrade");
    let to = head.headers.get(UPGRADE).filter(|_| asked)?;
    // HTTP/2 by upgrade was never used in earnest and is gone (RFC 9113 section 3.1).
    (!names(&head.headers, UPGRADE, "h2c")).then(|| to.clone())
}

/// Whether the request is a gRPC call.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.strip_prefix(b"application/grpc")
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Whether a list header has this word.
fn names(headers: &HeaderMap, list: HeaderName, word: &str) -> bool {
    let lists = headers.get_all(list).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

/// A random UUID (RFC 9562 section 5.4).
pub fn request_id(random: &mut impl Rng) -> HeaderValue {
    let mut bytes = [0; 16];
    random.fill_bytes(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let mut text = [0; 36];
    let mut at = 0;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text[at] = b'-';
            at += 1;
        }
        for half in [byte >> 4, byte & 0x0f] {
            text[at] = b"0123456789abcdef"[usize::from(half)];
            at += 1;
        }
    }
    // Hexadecimal digits and hyphens are a header value.
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_a_real_upgrade_is_one() {
        let upgrade_of = |version, pairs: &[(&str, &str)]| {
            let (mut head, ()) = http::Request::new(()).into_parts();
            (head.version, head.headers) = (version, map(pairs));
            upgrade(&head).map(|to| to.to_str().unwrap().to_owned())
        };
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert_eq!(upgrade_of(Version::HTTP_11, &asked).as_deref(), Some("websocket"));
        assert_eq!(upgrade_of(Version::HTTP_2, &asked), None);
        assert_eq!(upgrade_of(Version::HTTP_11, &[("upgrade", "websocket")]), None);
        for to in ["h2c", "H2C", "websocket, h2c"] {
            assert_eq!(upgrade_of(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", to)]), None);
        }
    }

    #[test]
    fn grpc_is_told_by_its_content_type() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&map(&[("content-type", kind)])), grpc, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn an_id_is_a_random_uuid(seed: u64) {
            let id = request_id(&mut StdRng::seed_from_u64(seed));
            let text = id.to_str().unwrap();
            prop_assert_eq!(text.len(), 36);
            let groups: Vec<usize> = text.split('-').map(str::len).collect();
            prop_assert_eq!(groups, [8, 4, 4, 4, 12]);
            prop_assert_eq!(&text[14..15], "4");
            prop_assert!("89ab".contains(&text[19..20]), "{}", text);
        }
    }
}
