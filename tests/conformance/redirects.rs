//! Answers that send the client elsewhere. In the mesh the port is the Service's, which is left out where it is the
//! scheme's own.

use ambit_tests::runner::Test;

use crate::request::{Request, Seen, get, redirect};
use crate::stage::Parent;

pub(crate) const TESTS: &[Test] = &[
    ("MeshHTTPRouteRedirectHostAndStatus", host_and_status),
    ("HTTPRouteRedirectHostAndStatus", host_and_status),
    ("MeshHTTPRouteRedirectPath", path),
    ("HTTPRouteRedirectPath", path),
    ("MeshHTTPRouteRedirectPort", port),
    ("HTTPRouteRedirectPort", port),
    ("MeshHTTPRouteSchemeRedirect", scheme),
    ("HTTPRouteRedirectScheme", scheme),
    ("HTTPRouteRedirectPortAndScheme", port_and_scheme),
    ("MeshHTTPRoute303Redirect", || status(303)),
    ("HTTPRoute303Redirect", || status(303)),
    ("MeshHTTPRoute307Redirect", || status(307)),
    ("HTTPRoute307Redirect", || status(307)),
    ("MeshHTTPRoute308Redirect", || status(308)),
    ("HTTPRoute308Redirect", || status(308)),
];

/// A route of redirects, by path, and what becomes of requests.
fn table(test: &str, rules: &[(&str, &str)], rows: &[(Request, Seen)]) {
    let rule = |(path, redirect): &(&str, &str)| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]"
        )
    };
    let rules: String = rules.iter().map(rule).collect();
    Parent::new(test, &format!("ROUTE{rules}")).table(rows);
}

fn host_and_status() {
    let rules = [
        ("/hostname-redirect", "hostname: example.org"),
        ("/host-and-status", "hostname: example.org, statusCode: 301"),
    ];
    table(
        "redirect-host",
        &rules,
        &[
            (get("/hostname-redirect"), redirect(302, "http://example.org/hostname-redirect")),
            (get("/host-and-status"), redirect(301, "http://example.org/host-and-status")),
        ],
    );
}

fn path() {
    let prefix = "path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}";
    let full = "path: {type: ReplaceFullPath, replaceFullPath: /full-path-replacement}";
    let rules = [
        ("/original-prefix", prefix.to_owned()),
        ("/full", full.to_owned()),
        ("/path-and-host", format!("hostname: example.org, {prefix}")),
        ("/path-and-status", format!("{prefix}, statusCode: 301")),
        ("/full-path-and-host", format!("hostname: example.org, {full}")),
        ("/full-path-and-status", format!("{full}, statusCode: 301")),
    ];
    let rules: Vec<(&str, &str)> = rules.iter().map(|(path, redirect)| (*path, redirect.as_str())).collect();
    table(
        "redirect-path",
        &rules,
        &[
            (get("/original-prefix/lemon"), redirect(302, "http://echo/replacement-prefix/lemon")),
            (get("/original-prefix/lemon?a=b"), redirect(302, "http://echo/replacement-prefix/lemon?a=b")),
            (get("/full/path/original"), redirect(302, "http://echo/full-path-replacement")),
            (get("/path-and-host"), redirect(302, "http://example.org/replacement-prefix")),
            (get("/path-and-status"), redirect(301, "http://echo/replacement-prefix")),
            (get("/full-path-and-host"), redirect(302, "http://example.org/full-path-replacement")),
            (get("/full-path-and-status"), redirect(301, "http://echo/full-path-replacement")),
        ],
    );
}

fn port() {
    let rules = [
        ("/port", "port: 8083"),
        ("/port-and-host", "hostname: example.org, port: 8083"),
        ("/port-and-status", "port: 8083, statusCode: 301"),
        ("/port-and-host-and-status", "port: 8083, hostname: example.org, statusCode: 302"),
    ];
    table(
        "redirect-port",
        &rules,
        &[
            (get("/port"), redirect(302, "http://echo:8083/port")),
            (get("/port-and-host"), redirect(302, "http://example.org:8083/port-and-host")),
            (get("/port-and-status"), redirect(301, "http://echo:8083/port-and-status")),
            (
                get("/port-and-host-and-status"),
                redirect(302, "http://example.org:8083/port-and-host-and-status"),
            ),
        ],
    );
}

fn scheme() {
    let rules = [
        ("/scheme", "scheme: https"),
        ("/scheme-and-host", "hostname: example.org, scheme: https"),
        ("/scheme-and-status", "scheme: https, statusCode: 301"),
        ("/scheme-and-host-and-status", "scheme: https, hostname: example.org, statusCode: 302"),
    ];
    table(
        "redirect-scheme",
        &rules,
        &[
            (get("/scheme"), redirect(302, "https://echo/scheme")),
            (get("/scheme-and-host"), redirect(302, "https://example.org/scheme-and-host")),
            (get("/scheme-and-status"), redirect(301, "https://echo/scheme-and-status")),
            (
                get("/scheme-and-host-and-status"),
                redirect(302, "https://example.org/scheme-and-host-and-status"),
            ),
        ],
    );
}

/// Which ports a Location names (GEP-820 and the comment of `RequestRedirect.port`).
fn port_and_scheme() {
    let rules = [
        ("/nothing", "hostname: example.org"),
        ("/scheme-http", "hostname: example.org, scheme: http"),
        ("/scheme-https", "hostname: example.org, scheme: https"),
        ("/port-80", "hostname: example.org, port: 80"),
        ("/port-8080", "hostname: example.org, port: 8080"),
        ("/http-80", "hostname: example.org, scheme: http, port: 80"),
        ("/http-8080", "hostname: example.org, scheme: http, port: 8080"),
        ("/https-443", "hostname: example.org, scheme: https, port: 443"),
        ("/https-8443", "hostname: example.org, scheme: https, port: 8443"),
    ];
    table(
        "redirect-port-scheme",
        &rules,
        &[
            (get("/nothing"), redirect(302, "http://example.org/nothing")),
            (get("/nothing").port(8080), redirect(302, "http://example.org:8080/nothing")),
            (get("/scheme-http").port(8080), redirect(302, "http://example.org/scheme-http")),
            (get("/scheme-https").port(8080), redirect(302, "https://example.org/scheme-https")),
            (get("/port-80"), redirect(302, "http://example.org/port-80")),
            (get("/port-8080"), redirect(302, "http://example.org:8080/port-8080")),
            (get("/http-80"), redirect(302, "http://example.org/http-80")),
            (get("/http-8080"), redirect(302, "http://example.org:8080/http-8080")),
            (get("/https-443"), redirect(302, "https://example.org/https-443")),
            (get("/https-8443"), redirect(302, "https://example.org:8443/https-8443")),
        ],
    );
}

fn status(status: u16) {
    let redirecting = format!("statusCode: {status}");
    let to = redirect(status, "http://echo/redirect");
    table(&format!("redirect-{status}"), &[("/redirect", &redirecting)], &[(get("/redirect"), to)]);
}
