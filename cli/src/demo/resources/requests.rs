//! What does the waypoint do with requests? The YAML that says so, written by hand: it is there to be read and edited.

/// The file with the weights of the canary, which a user of a kept demo edits.
pub(crate) const ROUTE: &str = "offers.yaml";
/// The waypoint, and what it does besides routing.
pub(crate) const WAYPOINT_FILE: &str = "waypoint.yaml";
/// The file that the show adds and takes away.
pub(crate) const FAULT: &str = "fault.yaml";

/// A canary. It ends with its only rule, so that [`RETRY`] can be added.
pub(crate) const ROUTE_TEXT: &str = "\
# Who answers requests to offers. Change the weights, save this file, and the next requests obey.
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: offers
  namespace: shop
spec:
  parentRefs:
  - group: ''
    kind: Service
    name: offers
  rules:
  - backendRefs:
    - name: offers
      port: 80
      weight: 90
    - name: offers-v2
      port: 80
      weight: 10
";

/// Added to [`ROUTE_TEXT`]: whoever fails is asked again.
pub(crate) const RETRY: &str = "\
\x20   retry:
      codes: [502]
      attempts: 20
      backoff: 1ms
";

/// Two of five requests to prices fail before they reach it.
pub(crate) const FAULT_TEXT: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: prices
  namespace: shop
spec:
  hosts: [prices]
  http:
  - fault:
      abort:
        httpStatus: 503
        percentage:
          value: 40
    route:
    - destination:
        host: prices
";

/// The waypoint, who may see the members' page, and when prices is left alone.
pub(crate) const WAYPOINT_TEXT: &str = r#"# Requests to Services with the label `istio.io/use-waypoint: waypoint` (services.yaml) go through this proxy.
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata:
  name: waypoint
  namespace: shop
spec:
  gatewayClassName: ambit-waypoint
  listeners:
  - name: mesh
    port: 15008
    protocol: HBONE
---
# Whose tokens offers believes: those that this key has signed. A token that it does not believe is refused.
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata:
  name: members
  namespace: shop
spec:
  targetRefs:
  - group: ""
    kind: Service
    name: offers
  jwtRules:
  - issuer: members.shop
    jwks: |
      {"keys": [{"kty": "EC", "kid": "demo", "crv": "P-256",
       "x": "izxOHoPsOXBJHeN-ndbeQwQmgXzTjGX53p7E-qcp6Z8", "y": "8x8NMbJTvEhv39Z7qDGSdg5YLhjeCYt7b311_R85WYE"}]}
---
# Only who has such a token sees the page of the members; all other pages are open.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: members
  namespace: shop
spec:
  targetRefs:
  - group: ""
    kind: Service
    name: offers
  action: ALLOW
  rules:
  - to:
    - operation:
        notPaths: ["/members*"]
  - from:
    - source:
        requestPrincipals: ["members.shop/*"]
    to:
    - operation:
        paths: ["/members*"]
---
# Three errors in a row, and prices is left alone for two seconds.
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: prices
  namespace: shop
spec:
  host: prices
  trafficPolicy:
    outlierDetection:
      consecutive5xxErrors: 3
      interval: 1s
      baseEjectionTime: 2s
      maxEjectionPercent: 100
"#;

/// A token that the key of [`WAYPOINT_TEXT`] has signed: issuer `members.shop`, subject `ana`, without an end.
pub(crate) const TOKEN: &str = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImRlbW8ifQ.eyJpc3MiOiJtZW1iZXJzLnNob3AiLCJzdWIiOiJhbmEifQ.7gCKuTmZghl4z1n_47gqMyOu3n3JKjGk7DsZb2AXanA3rd3LADeett5VTZ62lgJwRVTp36k_fIyJxEotaJ-IIg";
