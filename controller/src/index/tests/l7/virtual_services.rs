//! VirtualServices, as waypoints are told.

use std::time::Duration;

use ambit_model::Text;
use ambit_model::l7::matching::{FieldMatch, PathMatch, Share, ValueMatch};
use ambit_model::l7::route::{
    Abort, Action, Backend, BackendRef, Cors, Fault, Filter, HeaderChange, Layer, Match, Mirror, Order,
    PathRewrite, Redirect, RedirectPort, Retry, RetryCondition, Rewrite, Route, Rule,
};
use ambit_model::service::ServiceKey;

use super::{backends, istio, mesh, object};

/// The routes of a VirtualService of `shop`, and the notes.
fn routes(spec: &str) -> (Vec<Route>, Vec<String>) {
    let index = mesh(&istio("networking", "VirtualService", "v", spec));
    (index.routes().cloned().collect(), index.told())
}

/// The one rule of a VirtualService of `cart`, and the notes.
#[track_caller]
fn rule(lines: &str) -> (Rule, Vec<String>) {
    let (mut routes, notes) = routes(&format!("hosts: [cart]\nhttp:\n- {}", lines.replace('\n', "\n  ")));
    assert_eq!((routes.len(), routes[0].rules.len()), (1, 1), "{notes:?}");
    (routes.remove(0).rules.remove(0), notes)
}

fn to(service: &str, port: u16) -> BackendRef {
    let service = ServiceKey::new("shop", &format!("{service}.shop.svc.cluster.local"));
    BackendRef { service, port, subset: None }
}

fn field(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

#[test]
fn every_condition_is_told() {
    let (rule, notes) = rule(
        "name: r\nroute: [{destination: {host: cart-v2}}]\nmatch:\n- uri: {prefix: /a}\n  ignoreUriCase: true\n  scheme: {exact: http}\n  \
         method: {regex: 'GET|PUT'}\n  authority: {exact: A.b}\n  port: 80\n  sourceNamespace: web\n  sourceLabels: {app: a}\n  gateways: [mesh]\n  \
         headers: {X-A: {exact: b}, x-b: {}, x-c: {regex: '*'}, '@request.auth.claims.a.b': {exact: c}, '@request.auth.claims[x][y]': {prefix: z}}\n  \
         withoutHeaders: {X-D: {exact: e}}\n  queryParams: {q: {exact: r}}\n- {uri: {exact: /x}, gateways: [other]}",
    );
    assert_eq!(notes, [""; 0]);
    let text = |text: &str| Text::from(text);
    let expected = Match {
        path: Some(PathMatch::Prefix("/a".into())),
        ignore_path_case: true,
        scheme: Some(ValueMatch::Exact("http".into())),
        method: Some(ValueMatch::Regex("GET|PUT".into())),
        authority: Some(ValueMatch::Exact("A.b".into())),
        headers: vec![
            field("x-a", ValueMatch::Exact("b".into())),
            field("x-b", ValueMatch::Present),
            field("x-c", ValueMatch::Present),
        ],
        without_headers: vec![field("x-d", ValueMatch::Exact("e".into()))],
        query: vec![field("q", ValueMatch::Exact("r".into()))],
        claims: vec![
            field("a\u{1f}b", ValueMatch::Exact("c".into())),
            field("x\u{1f}y", ValueMatch::Prefix("z".into())),
        ],
        port: Some(80),
        source_namespace: Some(text("web")),
        source_labels: vec![(text("app"), text("a"))],
        ..Match::default()
    };
    assert_eq!((rule.name.as_deref(), rule.matches), (Some("r"), vec![expected]));
    assert_eq!(backends(&rule_of(rule.action))[0].to, to("cart-v2", 80));
}

fn rule_of(action: Action) -> Rule {
    Rule::new(action)
}

#[test]
fn what_is_done_to_requests_is_told_in_its_order() {
    let (rule, notes) = rule(
        "route: [{destination: {host: cart, port: {number: 80}, subset: v1}, weight: 90, headers: {response: {remove: [X-R]}}}, {destination: {host: cart-v2}, weight: 10}]\n\
         headers: {request: {set: {X-A: b}}}\nrewrite: {uri: /new, authority: other}\ntimeout: 5s\n\
         retries: {attempts: 3, perTryTimeout: 1s, retryOn: '5xx,429, reset', backoff: 10ms, retryIgnorePreviousHosts: false}\n\
         fault: {delay: {fixedDelay: 2s, percentage: {value: 0.1}}, abort: {grpcStatus: UNAVAILABLE}}\n\
         mirrors: [{destination: {host: cart-v2}, percentage: {value: 50}}]\n\
         corsPolicy: {allowOrigins: [{exact: 'https://a'}], allowOrigin: ['*'], allowMethods: [GET], allowHeaders: [X-B], exposeHeaders: [X-C], maxAge: 24h, allowCredentials: true, unmatchedPreflights: IGNORE}",
    );
    assert_eq!(notes, [""; 0]);
    let part = |numerator| Share { numerator, denominator: 1_000_000 };
    let expected = [
        Filter::Cors(Cors {
            origins: vec![ValueMatch::Exact("https://a".into()), ValueMatch::Present],
            methods: vec!["GET".into()],
            headers: vec!["x-b".into()],
            expose: vec!["x-c".into()],
            max_age: Some(Duration::from_secs(86_400)),
            credentials: true,
            forward_unmatched: false,
        }),
        Filter::Fault(Fault {
            delay: Some((Duration::from_secs(2), part(1000))),
            abort: Some((Abort::Grpc(14), Share { numerator: 0, denominator: 1 })),
        }),
        Filter::Request(HeaderChange { set: vec![("x-a".into(), "b".into())], ..HeaderChange::default() }),
        Filter::Rewrite(Rewrite {
            host: Some("other".into()),
            path: Some(PathRewrite::Prefix("/new".into())),
        }),
        Filter::Mirror(Mirror { to: to("cart-v2", 80), share: part(500_000), invalid: None }),
    ];
    assert_eq!(rule.filters, expected);
    let retry = Retry {
        attempts: 3,
        on: vec![RetryCondition::ServerError, RetryCondition::Reset],
        codes: vec![429],
        backoff: Some(Duration::from_millis(10)),
        avoid_previous: false,
    };
    assert_eq!(rule.retry, Some(retry));
    assert_eq!(rule.timeouts.request, Some(Duration::from_secs(5)));
    assert_eq!(rule.timeouts.backend_request, Some(Duration::from_secs(1)));
    let remove = HeaderChange { remove: vec!["x-r".into()], ..HeaderChange::default() };
    let first = Backend {
        to: BackendRef { subset: Some("v1".into()), ..to("cart", 80) },
        weight: 90,
        filters: vec![Filter::Response(remove)],
        invalid: None,
    };
    assert_eq!(backends(&rule)[0], first);
}

#[test]
fn other_actions() {
    let redirect =
        Redirect { scheme: None, host: None, path: None, port: RedirectPort::Automatic, status: 301 };
    for (written, expected) in [
        ("{uri: /x}", Redirect { path: Some(PathRewrite::Full("/x".into())), ..redirect.clone() }),
        (
            "{prefixRewrite: /x, redirectCode: 308}",
            Redirect { path: Some(PathRewrite::Prefix("/x".into())), status: 308, ..redirect.clone() },
        ),
        (
            "{authority: a.b}",
            Redirect { host: Some("a.b".into()), port: RedirectPort::Scheme, ..redirect.clone() },
        ),
        (
            "{authority: 'a.b:81', scheme: https}",
            Redirect {
                host: Some("a.b".into()),
                scheme: Some("https".into()),
                port: RedirectPort::Fixed(81),
                ..redirect.clone()
            },
        ),
        ("{derivePort: FROM_REQUEST_PORT}", Redirect { port: RedirectPort::Request, ..redirect.clone() }),
    ] {
        let (rule, notes) = rule(&format!("redirect: {written}"));
        assert_eq!((rule.action, notes.len()), (Action::Redirect(expected), 0), "{written}");
    }
    let (rule, _) = rule("directResponse: {status: 418, body: {bytes: dGVh}}");
    assert_eq!(rule.action, Action::Respond { status: 418, body: "tea".into() });
}

#[test]
fn a_route_for_each_layer_in_the_order_of_its_list() {
    let (routes, notes) = routes(
        "hosts: [cart]\nhttp: [{route: [{destination: {host: cart}}]}]\n\
         tls: [{match: [{sniHosts: [A.example.com], port: 80, destinationSubnets: [10.0.0.1/8]}], route: [{destination: {host: cart-v2}}]}]\n\
         tcp: [{match: [{port: 7070, sourceLabels: {a: b}}], route: [{destination: {host: cart-v2}, weight: 0}]}]",
    );
    assert_eq!(notes, [""; 0]);
    let seen: Vec<(Layer, &str)> = routes.iter().map(|route| (route.layer, &*route.key.name)).collect();
    assert_eq!(seen, [(Layer::Http, "v"), (Layer::Tcp, "v/Tcp"), (Layer::Tls, "v/Tls")]);
    assert!(
        routes.iter().all(|route| route.order == Order::Listed && route.created == 60 && !route.consumer)
    );
    let tls = &routes[2].rules[0].matches[0];
    assert_eq!((&tls.server_names[..], tls.port), (&["a.example.com".into()][..], Some(80)));
    assert_eq!(tls.destination_blocks, ["10.0.0.0/8".parse().unwrap()]);
    // The ports of `cart` are two, so it is the one that was asked for; an only destination gets all.
    assert_eq!(backends(&routes[0].rules[0])[0].to.port, 0);
    assert_eq!(backends(&routes[1].rules[0])[0].weight, 1);
}

#[test]
fn what_is_not_done_is_told_and_where_it_matters_refused() {
    let there = "route: [{destination: {host: cart}}]";
    for (written, note, refuses) in [
        (format!("{there}\nmatch: [{{statPrefix: a}}]"), "spec.http[0].match[0].statPrefix", false),
        (
            format!("{there}\nretries: {{attempts: 1, retryRemoteLocalities: true}}"),
            "retryRemoteLocalities",
            false,
        ),
        (
            format!("{there}\nretries: {{attempts: 1, retryOn: envoy-ratelimited}}"),
            "envoy-ratelimited",
            false,
        ),
        (format!("{there}\nfault: {{delay: {{exponentialDelay: 1s}}}}"), "fixedDelay", false),
        (
            format!("{there}\nmatch: [{{withoutHeaders: {{'@request.auth.claims.a': {{exact: b}}}}}}]"),
            "claims",
            true,
        ),
        ("directResponse: {status: 200, body: {bytes: /w==}}".to_owned(), "only bodies that are text", true),
        ("delegate: {name: nobody}".to_owned(), "VirtualService shop/nobody does not exist", true),
    ] {
        let (rule, notes) = rule(&written);
        assert!(notes.len() == 1 && notes[0].contains(note), "{written}: {notes:?}");
        assert_eq!(rule.invalid.is_some(), refuses, "{written}");
    }
    let (missing, notes) = rule("route: [{destination: {host: gone}}]");
    assert!(
        backends(&missing)[0].invalid.is_some() && notes[0].contains("no service has the host gone"),
        "{notes:?}"
    );
    let (wrong, notes) = rule("route: [{destination: {host: cart, port: {number: 81}}}]");
    assert!(backends(&wrong)[0].invalid.is_some() && notes[0].contains("has no port 81"), "{notes:?}");
}

#[test]
fn who_takes_a_virtual_service() {
    let http = "http: [{route: [{destination: {host: cart}}]}]";
    for (head, count, note) in [
        ("hosts: [cart.shop.svc.cluster.local, cart-v2]", 2, None),
        ("hosts: ['*.shop.svc.cluster.local']", 3, Some("way.shop")),
        ("hosts: [gone]", 0, Some("no service has the host")),
        ("hosts: [stock.store.svc.cluster.local]", 0, Some("its own namespace")),
        ("hosts: [cart]\nexportTo: [store]", 0, Some("does not export")),
        ("hosts: [cart]\ngateways: [shop/edge]", 0, Some("not served")),
        ("hosts: [cart]\ngateways: [shop/edge, mesh]", 1, Some("not served")),
    ] {
        let (routes, notes) = routes(&format!("{head}\n{http}"));
        let parents = routes.first().map_or(0, |route| route.parents.len());
        assert_eq!(parents, count.min(2), "{head}: {notes:?}");
        assert_eq!(
            notes.iter().any(|line| note.is_some_and(|note| line.contains(note))),
            note.is_some(),
            "{notes:?}"
        );
    }
}

#[test]
fn routes_of_the_gateway_api_go_before() {
    let http = object(
        "HTTPRoute",
        "r",
        "parentRefs: [{group: '', kind: Service, name: cart}]\nrules: [{backendRefs: [{name: cart, port: 80}]}]",
    );
    let virtual_service = istio(
        "networking",
        "VirtualService",
        "v",
        "hosts: [cart]\nhttp: [{route: [{destination: {host: cart}}]}]",
    );
    let index = mesh(&(http + &virtual_service));
    assert_eq!(index.routes().count(), 2);
    assert!(index.told()[0].contains("Conflicted"), "{:?}", index.told());
}

#[test]
fn a_delegate_says_what_its_root_leaves_open() {
    let root = istio(
        "networking",
        "VirtualService",
        "root",
        "hosts: [cart]\nhttp: [{match: [{uri: {prefix: /a}}], timeout: 1s, delegate: {name: own}}]",
    );
    let delegate = |path: &str| {
        let spec = format!(
            "http: [{{match: [{{uri: {{exact: {path}}}, method: {{exact: GET}}}}], timeout: 9s, route: [{{destination: {{host: cart-v2}}}}]}}]"
        );
        istio("networking", "VirtualService", "own", &spec)
    };
    let index = mesh(&(root.clone() + &delegate("/a/b")));
    assert_eq!(index.told(), [""; 0]);
    let rule = &index.route("root").rules[0];
    let expected = Match {
        path: Some(PathMatch::Exact("/a/b".into())),
        method: Some(ValueMatch::Exact("GET".into())),
        ..Match::default()
    };
    assert_eq!((&rule.matches[..], rule.timeouts.request), (&[expected][..], Some(Duration::from_secs(1))));
    assert_eq!(backends(rule)[0].to, to("cart-v2", 80));
    let index = mesh(&(root + &delegate("/b")));
    assert!(index.route("root").rules[0].invalid.is_some(), "{:?}", index.told());
}
