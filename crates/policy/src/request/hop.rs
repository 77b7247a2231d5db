//! Which headers do not go on? Those of one connection (RFC 9110 section 7.6.1), and those that only a proxy of the mesh
//! may set.

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

/// Headers that a `Connection` header cannot take away from the next hop: it would lose the host, credentials, or where
/// the request came from.
const KEPT: [HeaderName; 12] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-client-cert"),
    HeaderName::from_static("x-real-ip"),
];

/// Further headers that mean something only before a body.
const ONLY_IN_HEADS: [HeaderName; 9] = [
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::EXPECT,
    header::MAX_FORWARDS,
    header::RANGE,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::WWW_AUTHENTICATE,
];

/// Removes the headers of the connection that a message came on, also those that its `Connection` header names. `TE:
/// trailers` stays. With `upgrade`, so does `Upgrade`, beside `Connection: upgrade`.
pub fn strip_connection(headers: &mut HeaderMap, upgrade: bool) {
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .filter(|name| !KEPT.contains(name) && !matches!(*name, header::UPGRADE | header::TE))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
    let trailers = headers.get_all(header::TE).iter().any(accepts_trailers);
    let protocol = headers.remove(header::UPGRADE).filter(|_| upgrade);
    for name in [header::CONNECTION, header::TE, header::TRANSFER_ENCODING, header::PROXY_AUTHENTICATE] {
        headers.remove(name);
    }
    for name in ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authentication-info"] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = protocol {
        headers.insert(header::UPGRADE, protocol);
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    let codings = value.to_str().unwrap_or_default().split(',');
    codings
        .map(|coding| coding.split(';').next().unwrap_or_default().trim())
        .any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// Removes from trailers what only a head may say (RFC 9110 section 6.5.1): how the message is read, where it goes, and who
/// sent it. An application that merges trailers into headers would believe them after everybody else was done judging.
pub fn strip_trailers(trailers: &mut HeaderMap) {
    strip_claims_about_the_client(trailers);
    strip_connection(trailers, false);
    for name in KEPT.iter().chain(&ONLY_IN_HEADS) {
        trailers.remove(name);
    }
}

/// Removes what a client may not say about itself: `x-forwarded-client-cert`, `x-envoy-*` and `x-ambit-*`.
pub fn strip_claims_about_the_client(headers: &mut HeaderMap) {
    let reserved = |name: &HeaderName| {
        let name = name.as_str();
        name == "x-forwarded-client-cert" || name.starts_with("x-envoy-") || name.starts_with("x-ambit-")
    };
    let names: Vec<HeaderName> = headers.keys().filter(|name| reserved(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sample::headers;

    #[test]
    fn headers_of_the_connection_do_not_go_on() {
        let mut map = headers(&[
            ("connection", "close, X-Hop"),
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip, trailers;q=1"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-hop", "1"),
            ("x-end", "1"),
        ]);
        strip_connection(&mut map, false);
        assert_eq!(map, headers(&[("te", "trailers"), ("x-end", "1")]));
    }

    #[test]
    fn an_upgrade_goes_on_alone() {
        let mut map = headers(&[("connection", "Upgrade, x-hop"), ("upgrade", "websocket"), ("x-hop", "1")]);
        strip_connection(&mut map, true);
        assert_eq!(map, headers(&[("upgrade", "websocket"), ("connection", "upgrade")]));
        let mut map = headers(&[("te", "gzip")]);
        strip_connection(&mut map, true);
        assert!(map.is_empty());
    }

    #[test]
    fn connection_cannot_take_away_who_asks() {
        let lines = [("authorization", "Bearer x"), ("x-forwarded-for", "1.1.1.1"), ("cookie", "a=1")];
        let mut map = headers(
            &[&lines[..], &[("connection", "Authorization, X-Forwarded-For, cookie, host")]].concat(),
        );
        strip_connection(&mut map, false);
        assert_eq!(map, headers(&lines));
    }

    #[test]
    fn clients_do_not_speak_for_proxies() {
        let mut map = headers(&[
            ("x-forwarded-client-cert", "By=spiffe://x"),
            ("x-forwarded-client-cert", "By=spiffe://y"),
            ("X-Envoy-Original-Path", "/"),
            ("x-ambit-attempt", "1"),
            ("x-env", "1"),
        ]);
        strip_claims_about_the_client(&mut map);
        assert_eq!(map, headers(&[("x-env", "1")]));
    }

    #[test]
    fn trailers_say_nothing_that_is_judged() {
        let mut map = headers(&[
            ("grpc-status", "0"),
            ("x-checksum", "a"),
            ("content-length", "1"),
            ("transfer-encoding", "chunked"),
            ("host", "a"),
            ("authorization", "a"),
            ("te", "trailers"),
            ("x-forwarded-client-cert", "a"),
            ("x-envoy-a", "a"),
        ]);
        strip_trailers(&mut map);
        let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["grpc-status", "x-checksum"]);
    }
}
