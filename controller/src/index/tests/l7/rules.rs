//! What rules match and do.

use std::time::Duration;

use ambit_model::l7::matching::{FieldMatch, PathMatch, Share, ValueMatch};
use ambit_model::l7::route::{
    Action, Filter, HeaderChange, Layer, PathRewrite, Redirect, RedirectPort, RetryCondition, Rewrite,
    SessionKind, SessionPersistence, Timeouts,
};

use super::{backends, mesh, object, rule};

fn field(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

#[test]
fn matches() {
    let (rule, _) = rule(
        "matches:\n- path: {type: Exact, value: /a}\n- path: {type: RegularExpression, value: '/[a-z]+'}\n- path: {value: /v1}\n  method: POST\n  headers: [{name: Version, value: V1}, {name: b, type: RegularExpression, value: 'x|y'}]\n  queryParams: [{name: Q, value: '1'}]",
    );
    assert_eq!(rule.matches[0].path, Some(PathMatch::Exact("/a".into())));
    assert_eq!(rule.matches[1].path, Some(PathMatch::Regex("/[a-z]+".into())));
    let third = &rule.matches[2];
    assert_eq!(third.path, Some(PathMatch::Elements("/v1".into())));
    assert_eq!(third.method, Some(ValueMatch::Exact("POST".into())));
    assert_eq!(
        third.headers,
        [field("version", ValueMatch::Exact("V1".into())), field("b", ValueMatch::Regex("x|y".into()))]
    );
    assert_eq!(third.query, [field("Q", ValueMatch::Exact("1".into()))]);
}

#[test]
fn filters_in_their_order() {
    let (rule, notes) = rule(
        "filters:
- type: URLRewrite
  urlRewrite: {hostname: a.b, path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}
- type: RequestHeaderModifier
  requestHeaderModifier: {set: [{name: A, value: B}], add: [{name: c, value: d}], remove: [E]}
- type: RequestMirror
  requestMirror: {backendRef: {name: cart-v2, port: 80}, percent: 5}
- type: RequestMirror
  requestMirror: {backendRef: {name: cart-v2, port: 80}, fraction: {numerator: 1, denominator: 1000}}
- type: RequestMirror
  requestMirror: {backendRef: {name: nobody, port: 80}}
- type: CORS
  cors: {allowOrigins: ['https://a.b'], allowMethods: ['*'], allowHeaders: [X-A], allowCredentials: true}",
    );
    let [rewrite, headers, five, one, nobody, cors] = &rule.filters[..] else { panic!("{rule:?}") };
    let path = Some(PathRewrite::Elements("/v2".into()));
    assert_eq!(*rewrite, Filter::Rewrite(Rewrite { host: Some("a.b".into()), path }));
    let change = HeaderChange {
        set: vec![("a".into(), "B".into())],
        add: vec![("c".into(), "d".into())],
        remove: vec!["e".into()],
    };
    assert_eq!(*headers, Filter::Request(change));
    for (filter, numerator, denominator) in [(five, 5, 100), (one, 1, 1000), (nobody, 1, 1)] {
        let Filter::Mirror(mirror) = filter else { panic!("{filter:?}") };
        assert_eq!(mirror.share, Share { numerator, denominator });
    }
    let Filter::Mirror(mirror) = nobody else { panic!() };
    assert_eq!(mirror.invalid.as_deref(), Some("backend Service shop/nobody does not exist"));
    let Filter::Cors(cors) = cors else { panic!() };
    assert_eq!((cors.max_age, cors.credentials), (Some(Duration::from_secs(5)), true));
    assert_eq!(cors.headers, ["x-a".into()]);
    assert_eq!(notes.len(), 1);
    assert!(rule.invalid.is_none());
}

#[test]
fn a_filter_that_nobody_knows_makes_the_rule_invalid() {
    for (filter, what) in [
        (
            "type: ExtensionRef, extensionRef: {group: g, kind: K, name: thing}",
            "ExtensionRef to K thing of group g",
        ),
        (
            "type: ExternalAuth, externalAuth: {protocol: HTTP, backendRef: {name: a, port: 80}}",
            "ExternalAuth",
        ),
    ] {
        let (rule, notes) =
            rule(&format!("filters: [{{{filter}}}]\nbackendRefs: [{{name: cart, port: 80}}]"));
        let text = format!("filter {what} is not known here, so requests are answered 500; remove it");
        assert_eq!(rule.invalid.as_deref(), Some(text.as_str()));
        assert_eq!(notes, [format!("HTTPRoute shop/r: ResolvedRefs=False (InvalidFilter): {text}")]);
    }
}

#[test]
fn redirects() {
    for (redirect, expected) in [
        ("{}", Redirect { scheme: None, host: None, path: None, port: RedirectPort::Automatic, status: 302 }),
        (
            "{scheme: https, hostname: a.b, port: 8443, statusCode: 308, path: {type: ReplaceFullPath, replaceFullPath: /x}}",
            Redirect {
                scheme: Some("https".into()),
                host: Some("a.b".into()),
                path: Some(PathRewrite::Full("/x".into())),
                port: RedirectPort::Fixed(8443),
                status: 308,
            },
        ),
    ] {
        let (rule, _) = rule(&format!("filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]"));
        assert_eq!(rule.action, Action::Redirect(expected));
    }
}

#[test]
fn limits_and_sessions() {
    let (rule, _) = rule(
        "timeouts: {request: 10s, backendRequest: 0s}\nretry: {codes: [503], attempts: 3, backoff: 100ms}\nsessionPersistence: {type: Header, header: {name: X-S}}\nbackendRefs: [{name: cart, port: 80}]\nname: all",
    );
    assert_eq!(rule.name.as_deref(), Some("all"));
    let limits = Timeouts { request: Some(Duration::from_secs(10)), backend_request: Some(Duration::ZERO) };
    assert_eq!(rule.timeouts, limits);
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!((retry.attempts, &retry.codes[..]), (3, &[503][..]));
    assert_eq!(retry.backoff, Some(Duration::from_millis(100)));
    assert!(retry.on.contains(&RetryCondition::ConnectFailure) && retry.avoid_previous);
    let session = SessionPersistence {
        kind: SessionKind::Header,
        name: "x-s".into(),
        absolute_timeout: None,
        permanent: false,
        path: None,
    };
    assert_eq!(rule.session, Some(session));
    let (rule, _) = super::rule(
        "sessionPersistence: {absoluteTimeout: 1h, cookie: {lifetimeType: Permanent, path: /a}}\nretry: {}",
    );
    let session = rule.session.unwrap();
    assert_eq!(
        (session.kind, &*session.name, session.permanent),
        (SessionKind::Cookie, "ambit-session", true)
    );
    assert_eq!(session.path.as_deref(), Some("/a"));
    assert_eq!(rule.retry.unwrap().attempts, 2);
}

#[test]
fn grpc_routes_match_services_and_methods() {
    let spec = "parentRefs: [{group: '', kind: Service, name: cart, port: 7070}]\nrules:\n- matches:\n  - method: {service: shop.Cart, method: Add}\n  - method: {type: RegularExpression, service: 'shop[.].*'}\n    headers: [{name: A, value: b}]\n  backendRefs: [{name: cart, port: 7070}]\n- {}";
    let index = mesh(&object("GRPCRoute", "g", spec));
    let route = index.route("g");
    assert_eq!(route.layer, Layer::Grpc);
    let exact = |text: &str| Some(ValueMatch::Exact(text.into()));
    assert_eq!(
        route.rules[0].matches[0].path,
        Some(PathMatch::Grpc { service: exact("shop.Cart"), method: exact("Add") })
    );
    let service = Some(ValueMatch::Regex("shop[.].*".into()));
    assert_eq!(route.rules[0].matches[1].path, Some(PathMatch::Grpc { service, method: None }));
    assert_eq!(route.rules[0].matches[1].headers, [field("a", ValueMatch::Exact("b".into()))]);
    assert!(route.rules[1].matches.is_empty(), "every call");
    assert_eq!(backends(&route.rules[0])[0].to.port, 7070);
}

#[test]
fn tls_and_tcp_routes() {
    let tls = object(
        "TLSRoute",
        "t",
        "parentRefs: [{group: '', kind: Service, name: cart, port: 80}]\nhostnames: [a.b]\nrules: [{backendRefs: [{name: cart, port: 80, weight: 2}, {name: nobody, port: 80}]}]",
    );
    let index = mesh(&tls);
    let route = index.route("t");
    assert_eq!((route.layer, &route.hostnames[..]), (Layer::Tls, &["a.b".into()][..]));
    assert_eq!(route.rules[0].matches[0].server_names, ["a.b".into()]);
    let found = backends(&route.rules[0]);
    assert_eq!((found[0].weight, found[1].invalid.is_some()), (2, true));
    assert_eq!(index.told().len(), 1);
}
