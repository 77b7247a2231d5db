//! Which headers pass, and which belong to one hop or to this proxy alone. Pure.

use http::header::{
    CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
    TE, TRANSFER_ENCODING, UPGRADE,
};
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
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Of one hop whatever `Connection` says (RFC 9110 section 7.6.1).
const HOP: [HeaderName; 8] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers that `Connection` cannot take away: what stands in them was decided on, or is said by this proxy.
fn is_protected(name: &HeaderName) -> bool {
    [HOST, REQUEST_ID, CLIENT_CERT, FORWARDED_PROTO, FORWARDED_FOR, http::header::AUTHORIZATION]
        .contains(name)
        || name == http::header::COOKIE
        || name == http::header::CONTENT_LENGTH
}

/// Whether the client asks for another protocol on this connection (HTTP/1.1 only, RFC 9110 section 7.8).
pub fn upgrade(head: &Parts) -> Option<HeaderValue> {
    let asked = head.version == Version::HTTP_11 && names(&head.headers, CONNECTION, "upgrade");
    let to = head.headers.get(UPGRADE).filter(|_| asked)?;
    // HTTP/2 by upgrade was never used in earnest and is gone (RFC 9113 section 3.1).
    (!to.as_bytes().eq_ignore_ascii_case(b"h2c")).then(|| to.clone())
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

/// Takes out what is of one hop only, with everything that `Connection` nominates. `te: trailers` stays.
pub fn strip_hop(headers: &mut HeaderMap) {
    let trailers = names(headers, TE, "trailers");
    let nominated: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|item| HeaderName::from_bytes(item.trim().as_bytes()).ok())
        .filter(|name| !is_protected(name))
        .collect();
    for name in nominated.iter().chain(&HOP) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Makes a client's request headers fit to go on: nothing of one hop, nothing by which a client could speak for a proxy
/// (`x-envoy-*`, `x-forwarded-client-cert`), an id, and the scheme.
pub fn prepare(headers: &mut HeaderMap, identity: Option<&HeaderValue>, random: &mut impl Rng) {
    strip_hop(headers);
    headers.remove(EXPECT);
    headers.remove(CLIENT_CERT);
    let of_proxies = |name: &&HeaderName| name.as_str().starts_with("x-envoy-");
    let of_proxies: Vec<HeaderName> = headers.keys().filter(of_proxies).cloned().collect();
    for name in of_proxies {
        headers.remove(name);
    }
    if let Some(identity) = identity {
        headers.insert(CLIENT_CERT, identity.clone());
    }
    if !headers.contains_key(REQUEST_ID) {
        headers.insert(REQUEST_ID, request_id(random));
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
}

/// A random UUID (RFC 9562 section 5.4).
fn request_id(random: &mut impl Rng) -> HeaderValue {
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

/// Takes out of a response what is of the hop to the endpoint.
pub fn strip_response(headers: &mut HeaderMap) {
    strip_hop(headers);
    headers.remove(TE);
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

    fn prepared(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(pairs);
        prepare(&mut headers, None, &mut StdRng::seed_from_u64(1));
        headers
    }

    #[test]
    fn what_is_of_one_hop_stays_on_it() {
        let headers = prepared(&[
            ("connection", "close, X-Internal"),
            ("keep-alive", "timeout=5"),
            ("x-internal", "1"),
            ("proxy-authorization", "secret"),
            ("transfer-encoding", "chunked"),
            ("te", "gzip, trailers"),
            ("expect", "100-continue"),
            ("accept", "*/*"),
        ]);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["accept", "te", "x-forwarded-proto", "x-request-id"]);
        assert_eq!(headers["te"], "trailers");
    }

    #[test]
    fn connection_cannot_take_away_what_others_rely_on() {
        let nominated = "authorization, cookie, host, x-forwarded-for, x-request-id, content-length";
        let headers = prepared(&[
            ("connection", nominated),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("host", "cart"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-request-id", "mine"),
            ("content-length", "3"),
        ]);
        for name in nominated.split(", ") {
            assert!(headers.contains_key(name), "{name}");
        }
    }

    #[test]
    fn a_client_cannot_speak_for_a_proxy() {
        let headers = prepared(&[
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-upstream-rq-timeout-ms", "1"),
            ("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin"),
        ]);
        assert!(!headers.keys().any(|name| name.as_str().starts_with("x-envoy-")));
        assert!(!headers.contains_key(CLIENT_CERT));
        let mut headers = map(&[("x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/shop/sa/admin")]);
        let proved = HeaderValue::from_static("URI=spiffe://cluster.local/ns/shop/sa/web");
        prepare(&mut headers, Some(&proved), &mut StdRng::seed_from_u64(1));
        assert_eq!(headers.get_all(CLIENT_CERT).iter().collect::<Vec<_>>(), [&proved]);
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
        assert_eq!(upgrade_of(Version::HTTP_11, &[("connection", "upgrade"), ("upgrade", "h2c")]), None);
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
