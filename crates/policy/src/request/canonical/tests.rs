//! Requests that are refused, and what those become that are not.

use http::{StatusCode, Version};

use super::Refusal;
use crate::request::path::InvalidPath;
use crate::request::sample::{get, parsed, versioned};

#[test]
fn one_form_of_host_path_and_cookies() {
    let request = parsed(
        "GET",
        "/a/../b//c%41?x=%2F&y#z",
        &[("host", "Cart.Shop.:80"), ("cookie", "a=1"), ("cookie", "b=\"2\"")],
    )
    .unwrap();
    assert_eq!(request.path(), "/b/cA");
    assert_eq!(request.query(), Some("x=%2F&y"));
    assert_eq!(request.authority().as_str(), "cart.shop:80");
    assert!(!request.headers.contains_key("host"));
    assert_eq!(request.headers["cookie"], "a=1; b=\"2\"");
    assert_eq!((request.cookie("a"), request.cookie("b"), request.cookie("c")), (Some("1"), Some("2"), None));
}

#[test]
fn several_values_of_a_header_are_one() {
    let request = get("/", &[("x-a", "1"), ("X-A", "2"), ("x-b", "")]);
    let header = |name: &str| request.header(&name.parse().unwrap()).map(|value| value.into_owned());
    assert_eq!(header("x-a").as_deref(), Some(&b"1,2"[..]));
    assert_eq!(header("x-b").as_deref(), Some(&b""[..]));
    assert_eq!(header("x-c"), None);
}

#[test]
fn the_first_of_several_query_parameters_counts() {
    let request = get("/?a=1&a=2&b+c=%64+e&&d&%61=3&e=%zz", &[]);
    let parameter = |name: &str| request.query_parameter(name).map(|value| value.into_owned());
    assert_eq!(parameter("a").as_deref(), Some(&b"1"[..]));
    assert_eq!(parameter("b c").as_deref(), Some(&b"d e"[..]));
    assert_eq!(parameter("d").as_deref(), Some(&b""[..]));
    assert_eq!(parameter("e").as_deref(), Some(&b"%zz"[..]));
    assert_eq!(parameter("f"), None);
    assert_eq!(get("/", &[]).query_parameter("a"), None);
}

#[test]
fn the_target_names_the_host_and_host_must_agree() {
    let absolute = parsed("GET", "http://cart.shop/a", &[("host", "CART.shop.")]).unwrap();
    assert_eq!(absolute.authority().as_str(), "cart.shop");
    let differs = parsed("GET", "http://cart.shop/a", &[("host", "other.shop")]);
    assert_eq!(differs.unwrap_err(), Refusal::HostsDiffer);
    let port = versioned(Version::HTTP_2, "GET", "http://cart.shop:80/a", &[("host", "cart.shop")]);
    assert_eq!(port.unwrap_err(), Refusal::HostsDiffer);
    assert!(versioned(Version::HTTP_2, "GET", "http://cart.shop/a", &[]).is_ok());
}

#[test]
fn options_may_ask_about_the_server() {
    assert_eq!(parsed("OPTIONS", "*", &[("host", "a")]).unwrap().path(), "*");
    assert_eq!(parsed("GET", "*", &[("host", "a")]).unwrap_err(), Refusal::Path(InvalidPath::Relative));
}

/// Version, method, target, headers, and why it is refused.
type Refused<'a> = (Version, &'a str, &'a str, &'a [(&'a str, &'a str)], Refusal);

#[test]
fn ambiguous_requests_are_refused() {
    const ONE: Version = Version::HTTP_11;
    const TWO: Version = Version::HTTP_2;
    const H: (&str, &str) = ("host", "a");
    let cases: &[Refused<'_>] = &[
        (ONE, "get", "/", &[H], Refusal::Method),
        (ONE, "GeT", "/", &[H], Refusal::Method),
        (ONE, "GET", "/", &[], Refusal::NoHost),
        (ONE, "GET", "/", &[("host", "")], Refusal::InvalidHost),
        (ONE, "GET", "/", &[("host", "user@a")], Refusal::InvalidHost),
        (ONE, "GET", "/", &[H, H], Refusal::SeveralHosts),
        (ONE, "GET", "/%00", &[H], Refusal::Path(InvalidPath::Nul)),
        (ONE, "GET", "/%%32e", &[H], Refusal::Path(InvalidPath::NestedEscape)),
        (ONE, "POST", "/", &[H, ("content-length", "1"), ("content-length", "1")], Refusal::TwoLengths),
        (ONE, "POST", "/", &[H, ("content-length", "1, 1")], Refusal::TwoLengths),
        (ONE, "POST", "/", &[H, ("content-length", "+1")], Refusal::TwoLengths),
        (ONE, "POST", "/", &[H, ("content-length", "99999999999999999999")], Refusal::TwoLengths),
        (
            ONE,
            "POST",
            "/",
            &[H, ("content-length", "1"), ("transfer-encoding", "chunked")],
            Refusal::TwoLengths,
        ),
        (Version::HTTP_10, "POST", "/", &[H, ("transfer-encoding", "chunked")], Refusal::TwoLengths),
        (ONE, "POST", "/", &[H, ("transfer-encoding", "gzip, chunked")], Refusal::TransferCoding),
        (ONE, "POST", "/", &[H, ("transfer-encoding", "xchunked")], Refusal::TransferCoding),
        (
            ONE,
            "POST",
            "/",
            &[H, ("transfer-encoding", "chunked"), ("transfer-encoding", "identity")],
            Refusal::TransferCoding,
        ),
        (ONE, "GET", "ftp://a/", &[H], Refusal::Scheme),
        (TWO, "GET", "http://a?b", &[H], Refusal::Path(InvalidPath::Relative)),
        (TWO, "GET", "/", &[H, ("connection", "close")], Refusal::ConnectionHeader),
        (TWO, "GET", "/", &[H, ("transfer-encoding", "chunked")], Refusal::ConnectionHeader),
        (TWO, "GET", "/", &[H, ("te", "gzip")], Refusal::ConnectionHeader),
        (TWO, "GET", "/", &[H, ("keep-alive", "1")], Refusal::ConnectionHeader),
        (ONE, "CONNECT", "a:80", &[H], Refusal::HostsDiffer),
        (ONE, "CONNECT", "a:80", &[("host", "a:80")], Refusal::Connect),
    ];
    for (version, method, target, headers, refusal) in cases {
        let refused = versioned(*version, method, target, headers).unwrap_err();
        assert_eq!(refused, *refusal, "{version:?} {method} {target} {headers:?}");
        assert!(refused.status().is_client_error() || refused.status() == StatusCode::NOT_IMPLEMENTED);
    }
    assert!(versioned(TWO, "GET", "/", &[H, ("te", "trailers")]).is_ok());
    assert!(versioned(ONE, "POST", "/", &[H, ("transfer-encoding", "Chunked")]).is_ok());
}

#[test]
fn grpc_is_known_by_its_content_type() {
    for (kind, grpc) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;x", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        assert_eq!(get("/", &[("content-type", kind)]).is_grpc(), grpc, "{kind}");
    }
}
