//! What filters change on the way to the application and back.

use ambit_tests::runner::Test;

use crate::request::{Request, Seen, by, get};
use crate::stage::Parent;

pub(crate) const TESTS: &[Test] = &[
    ("MeshHTTPRouteRequestHeaderModifier", request_headers),
    ("HTTPRouteRequestHeaderModifier", request_headers),
    ("MeshHTTPRouteBackendRequestHeaderModifier", backend_request_headers),
    ("HTTPRouteBackendRequestHeaderModifier", backend_request_headers),
    ("HTTPRouteResponseHeaderModifier", response_headers),
    ("MeshHTTPRouteRewritePath", rewrite_path),
    ("HTTPRouteRewritePath", rewrite_path),
    ("HTTPRouteRewriteHost", rewrite_host),
    ("HTTPRouteBackendURLRewrite", backend_rewrite),
    ("HTTPRouteCORS", cors),
];

/// A path, and its modifier.
const MODIFIERS: [(&str, &str); 5] = [
    ("/set", "set: [{name: X-Header-Set, value: set-overwrites-values}]"),
    ("/add", "add: [{name: X-Header-Add, value: add-appends-values}]"),
    ("/remove", "remove: [X-Header-Remove]"),
    (
        "/multiple",
        "set: [{name: X-Header-Set-1, value: header-set-1}, {name: X-Header-Set-2, value: header-set-2}], \
         add: [{name: X-Header-Add-1, value: header-add-1}, {name: X-Header-Add-2, value: header-add-2}, \
         {name: X-Header-Add-3, value: header-add-3}], remove: [X-Header-Remove-1, X-Header-Remove-2]",
    ),
    (
        "/case-insensitivity",
        "set: [{name: X-Header-Set, value: header-set}], add: [{name: X-Header-Add, value: header-add}], \
         remove: [X-Header-Remove]",
    ),
];

fn request_table() -> Vec<(Request, Seen)> {
    vec![
        (
            get("/set").header("Some-Other-Header", "val"),
            by("echo-v1").with("some-other-header", "val").with("x-header-set", "set-overwrites-values"),
        ),
        (
            get("/set").header("X-Header-Set", "some-other-value"),
            by("echo-v1").with("x-header-set", "set-overwrites-values"),
        ),
        (get("/add"), by("echo-v1").with("x-header-add", "add-appends-values")),
        (
            get("/add").header("X-Header-Add", "some-other-value"),
            by("echo-v1").with("x-header-add", "some-other-value,add-appends-values"),
        ),
        (get("/remove").header("X-Header-Remove", "val"), by("echo-v1").without("x-header-remove")),
        (
            get("/multiple")
                .header("X-Header-Set-2", "set-val-2")
                .header("X-Header-Add-2", "add-val-2")
                .header("X-Header-Remove-2", "remove-val-2")
                .header("Another-Header", "another-header-val"),
            by("echo-v1")
                .with("x-header-set-1", "header-set-1")
                .with("x-header-set-2", "header-set-2")
                .with("x-header-add-1", "header-add-1")
                .with("x-header-add-2", "add-val-2,header-add-2")
                .with("x-header-add-3", "header-add-3")
                .with("another-header", "another-header-val")
                .without("x-header-remove-1")
                .without("x-header-remove-2"),
        ),
        (
            get("/case-insensitivity")
                .header("x-header-set", "original-val-set")
                .header("x-header-add", "original-val-add")
                .header("x-header-remove", "original-val-remove")
                .header("Another-Header", "another-header-val"),
            by("echo-v1")
                .with("x-header-set", "header-set")
                .with("x-header-add", "original-val-add,header-add")
                .with("another-header", "another-header-val")
                .without("x-header-remove"),
        ),
    ]
}

fn request_headers() {
    let rules = MODIFIERS.map(|(path, modifier)| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{{modifier}}}}}]\n    \
             backendRefs: [{{name: echo-v1, port: 80}}]"
        )
    });
    Parent::new("request-headers", &format!("ROUTE{}", rules.concat())).table(&request_table());
}

fn backend_request_headers() {
    let rules = MODIFIERS.map(|(path, modifier)| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             backendRefs: [{{name: echo-v1, port: 80, filters: \
             [{{type: RequestHeaderModifier, requestHeaderModifier: {{{modifier}}}}}]}}]"
        )
    });
    Parent::new("backend-headers", &format!("ROUTE{}", rules.concat())).table(&request_table());
}

fn response_headers() {
    let rules = MODIFIERS.map(|(path, modifier)| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: ResponseHeaderModifier, responseHeaderModifier: {{{modifier}}}}}]\n    \
             backendRefs: [{{name: echo-v1, port: 80}}]"
        )
    });
    let parent = Parent::new("response-headers", &format!("ROUTE{}", rules.concat()));
    parent.table(&[
        (
            get("/set?header=Some-Other-Header:val"),
            by("echo-v1").answered("some-other-header", "val").answered("x-header-set", "set-overwrites-values"),
        ),
        (
            get("/set?header=X-Header-Set:some-other-value"),
            by("echo-v1").answered("x-header-set", "set-overwrites-values"),
        ),
        (get("/add"), by("echo-v1").answered("x-header-add", "add-appends-values")),
        (
            get("/add?header=X-Header-Add:some-other-value"),
            by("echo-v1").answered("x-header-add", "some-other-value,add-appends-values"),
        ),
        (get("/remove?header=X-Header-Remove:val"), by("echo-v1").unanswered("x-header-remove")),
        (
            get("/multiple?header=X-Header-Set-2:a&header=X-Header-Add-2:b&header=X-Header-Remove-2:c&header=Other:d"),
            by("echo-v1")
                .answered("x-header-set-1", "header-set-1")
                .answered("x-header-set-2", "header-set-2")
                .answered("x-header-add-1", "header-add-1")
                .answered("x-header-add-2", "b,header-add-2")
                .answered("x-header-add-3", "header-add-3")
                .answered("other", "d")
                .unanswered("x-header-remove-2"),
        ),
        (
            get("/case-insensitivity?header=x-header-set:a&header=x-header-add:b&header=x-header-remove:c"),
            by("echo-v1")
                .answered("x-header-set", "header-set")
                .answered("x-header-add", "b,header-add")
                .unanswered("x-header-remove"),
        ),
    ]);
}

const HEADERS: &str = "{type: RequestHeaderModifier, requestHeaderModifier: {\
     set: [{name: X-Header-Set, value: set-overwrites-values}], \
     add: [{name: X-Header-Add, value: header-val-1}, {name: X-Header-Add-Append, value: header-val-2}], \
     remove: [X-Header-Remove]}}";

fn with_headers(request: Request) -> Request {
    let request =
        request.header("X-Header-Remove", "remove-val").header("X-Header-Add-Append", "append-val-1");
    request.header("X-Header-Set", "set-val")
}

fn changed(seen: Seen) -> Seen {
    let seen =
        seen.with("x-header-add", "header-val-1").with("x-header-add-append", "append-val-1,header-val-2");
    seen.with("x-header-set", "set-overwrites-values").without("x-header-remove")
}

fn rewrite_path() {
    let rule = |path: &str, rewrite: &str, further: &str| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: URLRewrite, urlRewrite: {{path: {{{rewrite}}}}}}}{further}]\n    \
             backendRefs: [{{name: echo-v1, port: 80}}]"
        )
    };
    let prefix = |to: &str| format!("type: ReplacePrefixMatch, replacePrefixMatch: {to}");
    let full = |to: &str| format!("type: ReplaceFullPath, replaceFullPath: {to}");
    let further = format!(", {HEADERS}");
    let rules = [
        rule("/prefix/one", &prefix("/one"), ""),
        rule("/strip-prefix", &prefix("/"), ""),
        rule("/full/one", &full("/one"), ""),
        rule("/full/rewrite-path-and-modify-headers", &full("/test"), &further),
        rule("/prefix/rewrite-path-and-modify-headers", &prefix("/prefix"), &further),
    ];
    let parent = Parent::new("rewrite-path", &format!("ROUTE{}", rules.concat()));
    parent.table(&[
        (get("/prefix/one/two"), by("echo-v1").at("/one/two")),
        (get("/strip-prefix/three"), by("echo-v1").at("/three")),
        (get("/strip-prefix"), by("echo-v1").at("/")),
        (get("/strip-prefix/"), by("echo-v1").at("/")),
        (get("/strip-prefix?a=b"), by("echo-v1").at("/?a=b")),
        (get("/full/one/two"), by("echo-v1").at("/one")),
        (with_headers(get("/full/rewrite-path-and-modify-headers/test")), changed(by("echo-v1").at("/test"))),
        (
            with_headers(get("/prefix/rewrite-path-and-modify-headers/one")),
            changed(by("echo-v1").at("/prefix/one")),
        ),
    ]);
}

fn rewrite_host() {
    let rule = |path: &str, host: &str, further: &str, backend: &str| {
        format!(
            "\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: URLRewrite, urlRewrite: {{hostname: {host}}}}}{further}]\n    \
             backendRefs: [{{name: {backend}, port: 80}}]"
        )
    };
    let further = format!(", {HEADERS}");
    let rules = [
        rule("/one", "one.example.org", "", "echo-v1"),
        rule("/", "example.org", "", "echo-v2"),
        rule("/rewrite-host-and-modify-headers", "test.example.org", &further, "echo-v2"),
    ];
    let parent = Parent::new("rewrite-host", &format!("ROUTE{}", rules.concat()));
    let get = |path| get(path).host("rewrite.example");
    parent.table(&[
        (get("/one"), by("echo-v1").with("host", "one.example.org").at("/one")),
        (get("/two"), by("echo-v2").with("host", "example.org").at("/two")),
        (
            with_headers(get("/rewrite-host-and-modify-headers")),
            changed(by("echo-v2").with("host", "test.example.org")),
        ),
    ]);
}

fn backend_rewrite() {
    let parent = Parent::new(
        "backend-rewrite",
        "ROUTE
  - matches: [{path: {type: PathPrefix, value: /prefix}}]
    backendRefs:
    - name: echo-v1
      port: 80
      filters:
      - type: URLRewrite
        urlRewrite: {hostname: one.example.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /one}}",
    );
    parent.table(&[(get("/prefix/two"), by("echo-v1").at("/one/two").with("host", "one.example.org"))]);
}

fn cors() {
    let parent = Parent::new(
        "cors",
        "ROUTE
  - matches: [{path: {type: PathPrefix, value: /}}]
    filters:
    - type: CORS
      cors:
        allowOrigins: ['https://www.foo.com', 'https://*.bar.com']
        allowMethods: [GET, OPTIONS]
        allowHeaders: [x-header-1]
        exposeHeaders: [x-header-2]
        maxAge: 3600
        allowCredentials: true
    backendRefs: [{name: echo-v1, port: 80}]",
    );
    let preflight = |origin| {
        let asked = get("/").method("OPTIONS").header("Origin", origin);
        asked
            .header("Access-Control-Request-Method", "GET")
            .header("Access-Control-Request-Headers", "x-header-1")
    };
    let allowed = |seen: Seen, origin| {
        let seen = seen.answered("access-control-allow-origin", origin);
        seen.answered("access-control-allow-credentials", "true")
    };
    let allowed_origin = "https://www.foo.com";
    parent.table(&[
        (
            preflight(allowed_origin),
            allowed(crate::request::status(200), allowed_origin)
                .answered("access-control-allow-headers", "x-header-1")
                .answered("access-control-max-age", "3600"),
        ),
        (preflight("https://www.bar.com"), allowed(crate::request::status(200), "https://www.bar.com")),
        (
            get("/").header("Origin", allowed_origin),
            allowed(by("echo-v1"), allowed_origin).answered("access-control-expose-headers", "x-header-2"),
        ),
        (
            get("/").header("Origin", "https://foobar.com"),
            by("echo-v1").unanswered("access-control-allow-origin"),
        ),
        (get("/"), by("echo-v1").unanswered("access-control-allow-origin")),
    ]);
}
