//! Tests of the suite that are not replayed here, each with the reason. What cannot be replayed is listed rather than
//! forgotten: the list and the tests together are the suite.

use std::collections::BTreeSet;

use ambit_tests::runner::Test;

pub(crate) const TESTS: &[Test] = &[("every_test_of_the_suite_is_here_or_skipped_for_a_reason", complete)];

/// Needs listeners of a Gateway: an ingress, whose own tests these are.
const LISTENERS: &str = "it is about a Gateway's listeners, not about a Service as parent";
/// Needs `status` in a Kubernetes API.
const STATUS: &str = "it reads conditions in status, which the controller's own tests do";
const MIRRORS: &str = "it counts copies of requests, which the waypoint's own tests of mirrors do";

const SKIPPED: &[(&str, &str)] = &[
    ("HTTPRouteCrossNamespace", LISTENERS),
    ("HTTPRouteDisallowedKind", LISTENERS),
    ("HTTPRouteHostnameIntersection", LISTENERS),
    ("HTTPRouteHTTPSListener", LISTENERS),
    ("HTTPRouteHTTPSListenerDetectMisdirectedRequests", LISTENERS),
    ("HTTPRouteInvalidParentRefNotMatchingListenerPort", LISTENERS),
    ("HTTPRouteInvalidParentRefNotMatchingSectionName", LISTENERS),
    ("HTTPRouteInvalidParentRefSectionNameNotMatchingPort", LISTENERS),
    ("HTTPRouteListenerHostnameMatching", LISTENERS),
    ("HTTPRouteListenerPortMatching", LISTENERS),
    ("HTTPRouteMultipleGateways", LISTENERS),
    ("HTTPRouteInvalidCrossNamespaceParentRef", LISTENERS),
    ("HTTPRouteSimpleSameNamespace", "MeshHTTPRouteSimpleSameNamespace is the same with a Service as parent"),
    ("HTTPRouteObservedGenerationBump", STATUS),
    (
        "HTTPRouteServiceTypes",
        "there are no Services without selectors and EndpointSlices in a directory of resources",
    ),
    ("HTTPRouteRequestMirror", MIRRORS),
    ("HTTPRouteRequestMultipleMirrors", MIRRORS),
    ("HTTPRouteRequestPercentageMirror", MIRRORS),
    (
        "HTTPRouteBackendRequestRedirect",
        "a redirect by one of several backends is not offered: its share is answered 500",
    ),
    ("HTTPRouteBackendProtocolH2C", "GRPCRoute's tests speak HTTP/2 without TLS to the same applications"),
    (
        "HTTPRouteRetryConnectionError",
        "the waypoint's own tests refuse connections at their in-memory network",
    ),
    ("HTTPRouteRetryBackendTimeout", "the waypoint's own tests move the clock by hand"),
    ("GRPCRouteListenerHostnameMatching", LISTENERS),
];

/// The names in the suite, of `conformance/tests` for HTTPRoute, GRPCRoute and the mesh.
const SUITE: &str = "
MeshBasic MeshTrafficSplit MeshFrontend MeshFrontendHostname MeshPorts MeshConsumerRoute
MeshHTTPRouteSimpleSameNamespace MeshHTTPRouteMatching MeshHTTPRouteWeight MeshHTTPRouteRequestHeaderModifier
MeshHTTPRouteRedirectHostAndStatus MeshHTTPRouteBackendRequestHeaderModifier MeshHTTPRouteQueryParamMatching
MeshHTTPRouteRedirectPath MeshHTTPRouteRedirectPort MeshHTTPRouteSchemeRedirect MeshHTTPRouteRewritePath
MeshHTTPRouteNamedRule MeshHTTPRoute303Redirect MeshHTTPRoute307Redirect MeshHTTPRoute308Redirect
MeshGRPCRouteRequestHeaderModifier MeshGRPCRouteWeight
HTTPRoute303Redirect HTTPRoute307Redirect HTTPRoute308Redirect HTTPRouteBackendProtocolH2C
HTTPRouteBackendProtocolWebSocket HTTPRouteBackendRequestRedirect HTTPRouteBackendURLRewrite HTTPRouteCORS
HTTPRouteCrossNamespace HTTPRouteDisallowedKind HTTPRouteExactPathMatching HTTPRouteHeaderMatching
HTTPRouteHostnameIntersection HTTPRouteHTTPSListenerDetectMisdirectedRequests HTTPRouteHTTPSListener
HTTPRouteInvalidBackendRefUnknownKind HTTPRouteInvalidCrossNamespaceBackendRef
HTTPRouteInvalidCrossNamespaceParentRef HTTPRouteInvalidNonExistentBackendRef
HTTPRouteInvalidParentRefNotMatchingListenerPort HTTPRouteInvalidParentRefNotMatchingSectionName
HTTPRouteInvalidParentRefSectionNameNotMatchingPort HTTPRouteInvalidReferenceGrant
HTTPRouteListenerHostnameMatching HTTPRouteListenerPortMatching HTTPRouteMatchingAcrossRoutes HTTPRouteMatching
HTTPRouteMethodMatching HTTPRouteMultipleGateways HTTPRouteNamedRule HTTPRouteObservedGenerationBump
HTTPRouteOmittedBackendRefs HTTPRoutePartiallyInvalidViaInvalidReferenceGrant HTTPRoutePathMatchOrder
HTTPRouteQueryParamMatching HTTPRouteRedirectHostAndStatus HTTPRouteRedirectPath HTTPRouteRedirectPortAndScheme
HTTPRouteRedirectPort HTTPRouteRedirectScheme HTTPRouteReferenceGrant HTTPRouteRequestHeaderModifierBackendWeights
HTTPRouteBackendRequestHeaderModifier HTTPRouteRequestHeaderModifier HTTPRouteRequestMirror
HTTPRouteRequestMultipleMirrors HTTPRouteRequestPercentageMirror HTTPRouteResponseHeaderModifier
HTTPRouteRetryConnectionError HTTPRouteRetryBackendTimeout HTTPRouteRetry HTTPRouteRewriteHost HTTPRouteRewritePath
HTTPRouteServiceTypes HTTPRouteSimpleSameNamespace HTTPRouteTimeoutBackendRequest HTTPRouteTimeoutRequest
HTTPRouteWeight
GRPCExactMethodMatching GRPCRouteHeaderMatching GRPCRouteListenerHostnameMatching GRPCRouteNamedRule
GRPCRouteRequestHeaderModifier GRPCRouteWeight";

fn complete() {
    let suite: BTreeSet<&str> = SUITE.split_whitespace().collect();
    let replayed = [
        crate::mesh::TESTS,
        crate::matching::TESTS,
        crate::filters::TESTS,
        crate::redirects::TESTS,
        crate::backends::TESTS,
        crate::traffic::TESTS,
        crate::grpc::TESTS,
    ];
    let replayed: BTreeSet<&str> = replayed.concat().iter().map(|(name, _)| *name).collect();
    let skipped: BTreeSet<&str> = SKIPPED.iter().map(|(name, _)| *name).collect();
    assert!(skipped.is_disjoint(&replayed), "{:?}", skipped.intersection(&replayed));
    let missing: Vec<&&str> =
        suite.iter().filter(|name| !replayed.contains(**name) && !skipped.contains(**name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let unknown: Vec<&&str> = skipped.difference(&suite).collect();
    assert!(unknown.is_empty(), "{unknown:?} are not of the suite");
    assert!(SKIPPED.iter().all(|(_, reason)| !reason.is_empty()));
}
