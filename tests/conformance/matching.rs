//! Which rule a request matches.

use ambit_tests::pod::ENROLLED;
use ambit_tests::runner::Test;

use crate::request::{by, get, status};
use crate::stage::Parent;

pub(crate) const TESTS: &[Test] = &[
    ("MeshHTTPRouteMatching", matching),
    ("HTTPRouteMatching", matching),
    ("HTTPRouteMatchingAcrossRoutes", across_routes),
    ("HTTPRouteExactPathMatching", exact_path),
    ("HTTPRoutePathMatchOrder", path_match_order),
    ("HTTPRouteHeaderMatching", header_matching),
    ("HTTPRouteMethodMatching", method_matching),
    ("HTTPRouteQueryParamMatching", query_matching),
    ("MeshHTTPRouteQueryParamMatching", query_matching),
    ("MeshHTTPRouteNamedRule", named_rule),
    ("HTTPRouteNamedRule", named_rule),
];

fn matching() {
    let parent = Parent::new(
        "matching",
        "ROUTE
  - matches: [{path: {type: PathPrefix, value: /}}, {headers: [{name: version, value: one}]}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /v2}}, {headers: [{name: version, value: two}]}]
    backendRefs: [{name: echo-v2, port: 80}]",
    );
    parent.table(&[
        (get("/"), by("echo-v1")),
        (get("/example"), by("echo-v1")),
        (get("/").header("Version", "one"), by("echo-v1")),
        (get("/v2"), by("echo-v2")),
        (get("/v2/example"), by("echo-v2")),
        (get("/v2/"), by("echo-v2")),
        (get("/").header("Version", "two"), by("echo-v2")),
        (get("/v2example"), by("echo-v1")),
        (get("/foo/v2/example"), by("echo-v1")),
    ]);
}

fn route(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: PARENT-{name}, namespace: {ENROLLED}}}\nspec:\n  \
         parentRefs: [{{group: '', kind: Service, name: PARENT}}]\n  rules:\n{rules}\n---\n"
    )
}

/// Precedence is among the matches of all routes.
fn across_routes() {
    let one = "  - matches: [{path: {type: PathPrefix, value: /}}, {headers: [{name: version, value: one}]}]
    backendRefs: [{name: echo-v1, port: 80}]";
    let two =
        "  - matches: [{path: {type: PathPrefix, value: /v2}}, {headers: [{name: version, value: two}]}]
    backendRefs: [{name: echo-v2, port: 80}]";
    let parent = Parent::new("across", &format!("{}{}", route("part1", one), route("part2", two)));
    parent.table(&[
        (get("/"), by("echo-v1")),
        (get("/example"), by("echo-v1")),
        (get("/example").header("Version", "one"), by("echo-v1")),
        (get("/v2"), by("echo-v2")),
        (get("/v2").header("Version", "one"), by("echo-v2")),
        (get("/v2/example"), by("echo-v2")),
        (get("/").header("Version", "two"), by("echo-v2")),
    ]);
}

fn exact_path() {
    let parent = Parent::new(
        "exact",
        "ROUTE
  - {matches: [{path: {type: Exact, value: /one}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{path: {type: Exact, value: /two}}], backendRefs: [{name: echo-v2, port: 80}]}",
    );
    parent.table(&[
        (get("/one"), by("echo-v1")),
        (get("/two"), by("echo-v2")),
        (get("/"), status(404)),
        (get("/one/example"), status(404)),
        (get("/two/"), status(404)),
        (get("/Two"), status(404)),
    ]);
}

fn path_match_order() {
    let parent = Parent::new(
        "order",
        "ROUTE
  - {matches: [{path: {type: Exact, value: /match}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{path: {type: Exact, value: /match/exact}}], backendRefs: [{name: echo-v2, port: 80}]}
  - {matches: [{path: {type: Exact, value: /match/exact/one}}], backendRefs: [{name: echo-v3, port: 80}]}
  - {matches: [{path: {type: PathPrefix, value: /match/}}], backendRefs: [{name: echo-v3, port: 80}]}
  - {matches: [{path: {type: PathPrefix, value: /match/prefix/}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{path: {type: PathPrefix, value: /match/prefix/one}}], backendRefs: [{name: echo-v2, port: 80}]}",
    );
    parent.table(&[
        (get("/match/exact/one"), by("echo-v3")),
        (get("/match/exact"), by("echo-v2")),
        (get("/match"), by("echo-v1")),
        (get("/match/prefix/one/any"), by("echo-v2")),
        (get("/match/prefix/any"), by("echo-v1")),
        (get("/match/any"), by("echo-v3")),
    ]);
}

fn header_matching() {
    let parent = Parent::new(
        "headers",
        "ROUTE
  - {matches: [{headers: [{name: version, value: one}]}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{headers: [{name: version, value: two}]}], backendRefs: [{name: echo-v2, port: 80}]}
  - matches: [{headers: [{name: version, value: two}, {name: color, value: orange}]}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{headers: [{name: color, value: blue}]}, {headers: [{name: color, value: green}]}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{headers: [{name: color, value: red}]}, {headers: [{name: color, value: yellow}]}]
    backendRefs: [{name: echo-v2, port: 80}]",
    );
    let color = |color| get("/").header("Color", color);
    parent.table(&[
        (get("/").header("Version", "one"), by("echo-v1")),
        (get("/").header("Version", "two"), by("echo-v2")),
        (color("orange").header("Version", "two"), by("echo-v1")),
        (color("blue").header("Version", "two"), by("echo-v2")),
        (color("orange"), status(404)),
        (get("/").header("Some-Other-Header", "one"), status(404)),
        (color("blue"), by("echo-v1")),
        (color("green"), by("echo-v1")),
        (color("red"), by("echo-v2")),
        (color("yellow"), by("echo-v2")),
        (color("purple"), status(404)),
    ]);
}

fn method_matching() {
    let parent = Parent::new(
        "methods",
        "ROUTE
  - {matches: [{method: POST}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{method: GET}], backendRefs: [{name: echo-v2, port: 80}]}
  - matches: [{path: {type: PathPrefix, value: /path1}, method: GET}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{headers: [{name: version, value: one}], method: PUT}]
    backendRefs: [{name: echo-v2, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /path2}, headers: [{name: version, value: two}], method: POST}]
    backendRefs: [{name: echo-v3, port: 80}]
  - matches:
    - {path: {type: PathPrefix, value: /path3}, method: PATCH}
    - {path: {type: PathPrefix, value: /path4}, headers: [{name: version, value: three}], method: DELETE}
    backendRefs: [{name: echo-v1, port: 80}]
  - {matches: [{path: {type: PathPrefix, value: /path5}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{method: PATCH}], backendRefs: [{name: echo-v2, port: 80}]}
  - {matches: [{headers: [{name: version, value: four}]}], backendRefs: [{name: echo-v3, port: 80}]}",
    );
    let version = |method, path: &str, version| get(path).method(method).header("Version", version);
    parent.table(&[
        (get("/").method("POST"), by("echo-v1")),
        (get("/"), by("echo-v2")),
        (get("/").method("HEAD"), status(404)),
        (get("/path1"), by("echo-v1")),
        (version("PUT", "/", "one"), by("echo-v2")),
        (version("POST", "/path2", "two"), by("echo-v3")),
        (get("/path3").method("PATCH"), by("echo-v1")),
        (version("DELETE", "/path4", "three"), by("echo-v1")),
        (get("/path1").method("PUT"), status(404)),
        (get("/path4").method("DELETE"), status(404)),
        (get("/path5").method("PATCH"), by("echo-v1")),
        (version("PATCH", "/", "four"), by("echo-v2")),
    ]);
}

fn query_matching() {
    let parent = Parent::new(
        "query",
        "ROUTE
  - {matches: [{queryParams: [{name: animal, value: whale}]}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{queryParams: [{name: animal, value: dolphin}]}], backendRefs: [{name: echo-v2, port: 80}]}
  - matches:
    - queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]
    - queryParams: [{name: ANIMAL, value: Whale}]
    backendRefs: [{name: echo-v3, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /path1}, queryParams: [{name: animal, value: whale}]}]
    backendRefs: [{name: echo-v1, port: 80}]
  - matches: [{headers: [{name: version, value: one}], queryParams: [{name: animal, value: whale}]}]
    backendRefs: [{name: echo-v2, port: 80}]
  - matches:
    - path: {type: PathPrefix, value: /path2}
      headers: [{name: version, value: two}]
      queryParams: [{name: animal, value: whale}]
    backendRefs: [{name: echo-v3, port: 80}]
  - matches:
    - {path: {type: PathPrefix, value: /path3}, queryParams: [{name: animal, value: shark}]}
    - path: {type: PathPrefix, value: /path4}
      headers: [{name: version, value: three}]
      queryParams: [{name: animal, value: kraken}]
    backendRefs: [{name: echo-v1, port: 80}]
  - {matches: [{path: {type: PathPrefix, value: /path5}}], backendRefs: [{name: echo-v1, port: 80}]}
  - {matches: [{queryParams: [{name: animal, value: hydra}]}], backendRefs: [{name: echo-v2, port: 80}]}
  - {matches: [{headers: [{name: version, value: four}]}], backendRefs: [{name: echo-v3, port: 80}]}",
    );
    parent.table(&[
        (get("/?animal=whale"), by("echo-v1")),
        (get("/?animal=dolphin"), by("echo-v2")),
        (get("/?animal=dolphin&color=blue"), by("echo-v3")),
        (get("/?ANIMAL=Whale"), by("echo-v3")),
        (get("/?animal=whale&otherparam=irrelevant"), by("echo-v1")),
        (get("/?animal=dolphin&color=yellow"), by("echo-v2")),
        (get("/?color=blue"), status(404)),
        (get("/?animal=dog"), status(404)),
        (get("/?animal=whaledolphin"), status(404)),
        (get("/"), status(404)),
        (get("/path1?animal=whale"), by("echo-v1")),
        (get("/?animal=whale").header("version", "one"), by("echo-v2")),
        (get("/path2?animal=whale").header("version", "two"), by("echo-v3")),
        (get("/path3?animal=shark"), by("echo-v1")),
        (get("/path4?animal=kraken").header("version", "three"), by("echo-v1")),
        (get("/?animal=shark"), status(404)),
        (get("/path4?animal=kraken"), status(404)),
        (get("/path5?animal=hydra"), by("echo-v1")),
        (get("/?animal=hydra").header("version", "four"), by("echo-v3")),
    ]);
}

fn named_rule() {
    let parent = Parent::new(
        "named",
        "ROUTE
  - name: named-rule
    matches: [{path: {type: PathPrefix, value: /named}}]
    backendRefs: [{name: echo-v1, port: 80}]
  - {matches: [{path: {type: PathPrefix, value: /unnamed}}], backendRefs: [{name: echo-v2, port: 80}]}",
    );
    parent.table(&[
        (get("/named"), by("echo-v1").at("/named")),
        (get("/unnamed"), by("echo-v2").at("/unnamed")),
    ]);
}
