//! Which of two matches goes before the other? (Gateway API HTTPRouteRule.matches, GRPCRouteRule.matches)

use std::cmp::{Ordering, Reverse};

use ambit_model::Text;
use ambit_model::l7::matching::{PathMatch, ValueMatch};
use ambit_model::l7::route::{Layer, Match, Order, Route};

use super::condition::first_of_each;

/// How specific a match is, most important first; more is more specific.
type Specificity = [usize; 5];

/// The place of a match among all of a table. Less goes before more.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    specificity: Reverse<Specificity>,
    created: i64,
    object: Object,
    rule: usize,
    alternative: usize,
}

impl Rank {
    pub(super) fn new(route: &Route, rule: usize, alternative: usize, each: &Match) -> Self {
        let specificity = match (route.order, route.layer) {
            (Order::Listed, _) => [0; 5],
            (Order::Specificity, Layer::Grpc) => grpc(each),
            (Order::Specificity, _) => http(each),
        };
        let object = Object(route.key.namespace.clone(), route.key.name.clone());
        Self { specificity: Reverse(specificity), created: route.created, object, rule, alternative }
    }
}

/// Exact path, then prefix, then expression (which the Gateway API leaves open; Istio's order); longer paths; a method;
/// more headers; more query parameters.
fn http(each: &Match) -> Specificity {
    let (kind, length) = match &each.path {
        // No path is the prefix `/`.
        None => (2, 1),
        Some(PathMatch::Exact(path)) => (3, path.len()),
        Some(PathMatch::Elements(path)) => (2, path.trim_end_matches('/').len().max(1)),
        Some(PathMatch::Prefix(path)) => (2, path.len()),
        Some(PathMatch::Regex(path)) => (1, path.len()),
        Some(PathMatch::Grpc { .. }) => (1, 0),
    };
    let headers = first_of_each(&each.headers, true).count();
    let query = first_of_each(&each.query, false).count();
    [kind, length, usize::from(each.method.is_some()), headers, query]
}

/// Longer services, then longer methods, then more headers; of equal length, exact before expression.
fn grpc(each: &Match) -> Specificity {
    let weigh = |value: &Option<ValueMatch>| match value {
        None => (0, 0),
        Some(ValueMatch::Exact(text)) => (text.len(), 1),
        Some(ValueMatch::Prefix(text) | ValueMatch::Suffix(text) | ValueMatch::Regex(text)) => {
            (text.len(), 0)
        }
        Some(ValueMatch::Present) => (0, 0),
    };
    let ((service, service_exact), (method, method_exact)) = match &each.path {
        Some(PathMatch::Grpc { service, method }) => (weigh(service), weigh(method)),
        _ => ((0, 0), (0, 0)),
    };
    [service, method, first_of_each(&each.headers, true).count(), service_exact, method_exact]
}

/// Namespace and name, in the order of `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object(Text, Text);

impl Ord for Object {
    fn cmp(&self, other: &Self) -> Ordering {
        let bytes =
            |object: &'_ Self| -> Vec<u8> { [object.0.as_bytes(), b"/", object.1.as_bytes()].concat() };
        if self.0 == other.0 { self.1.cmp(&other.1) } else { bytes(self).cmp(&bytes(other)) }
    }
}

impl PartialOrd for Object {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
