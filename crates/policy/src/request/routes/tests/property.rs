//! Every table answers like the plain reading of the rules: all matches, put in order, the first that holds.

use std::cmp::Reverse;

use ambit_model::l7::matching::{FieldMatch, PathMatch, ValueMatch};
use ambit_model::l7::route::{Layer, Match, Order, Route};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{answer, route, service};
use crate::request::Request;
use crate::request::sample::parsed;

/// Few values, so that they meet.
fn path() -> impl Strategy<Value = String> {
    select(vec!["/", "/a", "/a/b", "/a/b", "/ab", "/b"]).prop_map(str::to_owned)
}

fn path_match() -> impl Strategy<Value = PathMatch> {
    let value = || option::of(select(vec!["a", "b"]).prop_map(|text| ValueMatch::Exact(text.into())));
    prop_oneof![
        path().prop_map(|path| PathMatch::Exact(path.into())),
        path().prop_map(|path| PathMatch::Elements(path.into())),
        path().prop_map(|path| PathMatch::Prefix(path.into())),
        select(vec!["/a.*", "/[ab]+", "/(a|b)/b"]).prop_map(|pattern| PathMatch::Regex(pattern.into())),
        (value(), value()).prop_map(|(service, method)| PathMatch::Grpc { service, method }),
    ]
}

fn fields() -> impl Strategy<Value = Vec<FieldMatch>> {
    let field = (select(vec!["x", "y"]), select(vec!["1", "1", "1", "2"]));
    vec(field.prop_map(|(name, value)| super::field(name, value)), 0..3)
}

fn condition() -> impl Strategy<Value = Match> {
    let method = option::weighted(
        0.3,
        select(vec!["GET", "GET", "PUT"]).prop_map(|text| ValueMatch::Exact(text.into())),
    );
    let without = vec(fields().prop_filter_map("one", |fields| fields.into_iter().next()), 0..2);
    let without = prop_oneof![4 => Just(Vec::new()), 1 => without];
    let parts = (option::weighted(0.8, path_match()), any::<bool>(), method, fields(), fields(), without);
    parts.prop_map(|(path, ignore_path_case, method, headers, query, without_headers)| Match {
        path,
        ignore_path_case,
        method,
        headers,
        query,
        without_headers,
        ..Match::default()
    })
}

fn any_route() -> impl Strategy<Value = Route> {
    let rules = vec(vec(condition(), 0..3), 0..4);
    let order = prop_oneof![3 => Just(Order::Specificity), 1 => Just(Order::Listed)];
    (select(vec!["a", "b", "c"]), any::<bool>(), order, 0..3i64, rules).prop_map(
        |(name, grpc, order, created, rules)| {
            let rules: Vec<&[Match]> = rules.iter().map(Vec::as_slice).collect();
            let layer = if grpc && order == Order::Specificity { Layer::Grpc } else { Layer::Http };
            Route { created, ..route(&format!("{name}{created}{grpc}"), layer, order, &rules) }
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    let one = || option::weighted(0.8, select(vec!["1", "1", "1", "2"]));
    (path(), select(vec!["GET", "GET", "PUT"]), one(), one(), one(), one()).prop_map(
        |(path, method, x, y, p, q)| {
            let query: Vec<String> = [("x", p), ("y", q)]
                .iter()
                .filter_map(|(name, value)| value.map(|value| format!("{name}={value}")))
                .collect();
            let mut lines = vec![("host", "a")];
            lines.extend(
                [("x", x), ("y", y)].iter().filter_map(|(name, value)| value.map(|value| (*name, value))),
            );
            parsed(method, &format!("{path}?{}", query.join("&")), &lines).unwrap()
        },
    )
}

/// The rules as they are written down, without an index.
fn naive(routes: &[Route], request: &Request) -> String {
    let gateway = routes.iter().any(|route| route.order == Order::Specificity);
    let used: Vec<&Route> =
        routes.iter().filter(|route| !gateway || route.order == Order::Specificity).collect();
    if used.is_empty() {
        return "no routes".to_owned();
    }
    for layer in [Layer::Grpc, Layer::Http] {
        let mut matches = Vec::new();
        for (route, rule) in used.iter().flat_map(|route| route.rules.iter().map(move |rule| (*route, rule)))
        {
            let everything = vec![Match::default()];
            let alternatives = if rule.matches.is_empty() { &everything } else { &rule.matches };
            for each in alternatives.iter().filter(|_| route.layer == layer) {
                if let Some(taken) = holds(each, request) {
                    matches.push((
                        specificity(route, each),
                        route.created,
                        route.key.name.clone(),
                        rule,
                        taken,
                    ));
                }
            }
        }
        // Stable: rules and alternatives of one route keep their order.
        matches.sort_by(|one, other| {
            (Reverse(one.0), one.1, &one.2).cmp(&(Reverse(other.0), other.1, &other.2))
        });
        if let Some((.., rule, taken)) = matches.first() {
            return format!("{} {taken}", rule.name.as_deref().unwrap());
        }
    }
    "404".to_owned()
}

fn first_of_each(fields: &[FieldMatch]) -> Vec<&FieldMatch> {
    let mut seen = std::collections::HashSet::new();
    fields.iter().filter(|field| seen.insert(&*field.name)).collect()
}

fn specificity(route: &Route, each: &Match) -> [usize; 7] {
    if route.order == Order::Listed {
        return [0; 7];
    }
    let headers = first_of_each(&each.headers).len();
    let length = |value: &Option<ValueMatch>| value.as_ref().map_or(0, |value| format!("{value:?}").len());
    match (route.layer, &each.path) {
        (Layer::Grpc, Some(PathMatch::Grpc { service, method })) => {
            [length(service), length(method), headers, 0, 0, 0, 0]
        }
        (Layer::Grpc, _) => [0, 0, headers, 0, 0, 0, 0],
        (_, path) => {
            let (kind, length) = match path {
                None => (2, 1),
                Some(PathMatch::Exact(path)) => (3, path.len()),
                Some(PathMatch::Elements(path) | PathMatch::Prefix(path)) => (2, path.len()),
                Some(PathMatch::Regex(path)) => (1, path.len()),
                Some(PathMatch::Grpc { .. }) => (1, 0),
            };
            let method = usize::from(each.method.is_some());
            [kind, length, method, headers, first_of_each(&each.query).len(), 0, 0]
        }
    }
}

fn holds(each: &Match, request: &Request) -> Option<usize> {
    let path = request.path();
    let taken = match &each.path {
        None => Some(0),
        Some(PathMatch::Exact(exact)) => (path == &**exact).then_some(path.len()),
        Some(PathMatch::Elements(prefix)) if &**prefix == "/" => Some(0),
        Some(PathMatch::Elements(prefix)) => {
            (path == &**prefix || path.starts_with(&format!("{prefix}/"))).then_some(prefix.len())
        }
        Some(PathMatch::Prefix(prefix)) => path.starts_with(&**prefix).then_some(prefix.len()),
        Some(PathMatch::Regex(pattern)) => {
            let whole = regex::Regex::new(&format!("^({pattern})$")).unwrap();
            whole.is_match(path).then_some(path.len())
        }
        Some(PathMatch::Grpc { service, method }) => {
            let parts: Vec<&str> = path.split('/').collect();
            let same = |value: &Option<ValueMatch>, text: &str| {
                value.as_ref().is_none_or(|value| *value == ValueMatch::Exact(text.into()))
            };
            match (service, method, &parts[..]) {
                (None, None, _) => Some(0),
                (service @ Some(_), None, ["", first, ..]) if same(service, first) => Some(first.len() + 1),
                (service, method @ Some(_), ["", first, second])
                    if same(service, first) && same(method, second) =>
                {
                    Some(path.len())
                }
                _ => None,
            }
        }
    }?;
    let header = |field: &FieldMatch| {
        let value = request.headers.get(&*field.name);
        value.is_some_and(|value| field.value == ValueMatch::Exact(value.to_str().unwrap().into()))
    };
    let query = |field: &FieldMatch| {
        let wanted = match &field.value {
            ValueMatch::Exact(value) => format!("{}={value}", field.name),
            _ => unreachable!("only exact values are drawn"),
        };
        request.query().unwrap_or_default().split('&').any(|pair| pair == wanted)
    };
    let method = each
        .method
        .as_ref()
        .is_none_or(|method| *method == ValueMatch::Exact(request.method.as_str().into()));
    let all = method
        && first_of_each(&each.headers).into_iter().all(header)
        && !each.without_headers.iter().any(header)
        && first_of_each(&each.query).into_iter().all(query);
    all.then_some(taken)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_table_is_the_plain_reading_of_its_routes(
        routes in vec(any_route(), 0..5),
        requests in vec(request(), 1..8),
    ) {
        let mut names = std::collections::HashSet::new();
        let routes: Vec<Route> = routes.into_iter().filter(|route| names.insert(route.key.name.clone())).collect();
        let table = service(routes.clone());
        for request in requests {
            prop_assert_eq!(answer(&table, &request), naive(&routes, &request), "{:?}", request);
        }
    }
}
