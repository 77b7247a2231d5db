//! What users ask that this version does not do fails where it would be used; it is never left out in silence.

use ambit_model::Text;
use ambit_model::l7::destination_rule::{DestinationRule, TrafficPolicy};
use ambit_model::l7::route::{Action, Filter, Route, Rule};

const MIRROR: &str = "mirrored requests are not available in this version: remove RequestMirror";
const SESSION: &str = "session persistence is not available in this version: remove sessionPersistence";
const TLS: &str = "TLS to the application is not available in this version, and without it nothing is sent";

/// The route with the rules that cannot be obeyed marked: they answer 500.
pub(super) fn obeyable(route: &Route) -> Route {
    let mut route = route.clone();
    for rule in &mut route.rules {
        rule.invalid = rule.invalid.take().or_else(|| unavailable(rule));
    }
    route
}

/// Why a host cannot be called as it is asked to be.
pub(super) fn must_use_tls(host: &str, tls: &[Text]) -> Option<Text> {
    let named = |rule: &Text| match rule.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => *host == **rule,
    };
    tls.iter().any(named).then(|| TLS.into())
}

/// Whether a rule asks for TLS anywhere.
pub(super) fn asks_for_tls(rule: &DestinationRule) -> bool {
    let ports = |ports: &[(u16, TrafficPolicy)]| ports.iter().any(|(_, policy)| policy.tls.is_some());
    let subsets = || rule.subsets.iter().any(|each| each.policy.tls.is_some() || ports(&each.ports));
    rule.policy.tls.is_some() || ports(&rule.ports) || subsets()
}

fn unavailable(rule: &Rule) -> Option<Text> {
    let backends = match &rule.action {
        Action::Forward(backends) => backends.as_slice(),
        Action::Redirect(_) | Action::Respond { .. } => &[],
    };
    let filters = rule.filters.iter().chain(backends.iter().flat_map(|backend| &backend.filters));
    let mut mirrors = filters.filter(|filter| matches!(filter, Filter::Mirror(_)));
    match (mirrors.next(), &rule.session) {
        (Some(_), _) => Some(MIRROR.into()),
        (None, Some(_)) => Some(SESSION.into()),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::l7::route::{
        Backend, BackendRef, Layer, Mirror, Order, SessionKind, SessionPersistence,
    };
    use ambit_model::l7::{ObjectKey, ObjectKind, Share};
    use ambit_model::service::ServiceKey;

    fn to(host: &str) -> BackendRef {
        BackendRef { service: ServiceKey::new("shop", host), port: 80, subset: None }
    }

    fn route(rule: Rule) -> Route {
        Route {
            key: ObjectKey::new(ObjectKind::HTTPRoute, "shop", "cart"),
            created: 0,
            parents: Vec::new(),
            hostnames: Vec::new(),
            layer: Layer::Http,
            order: Order::Specificity,
            consumer: false,
            rules: vec![rule],
        }
    }

    fn forward(host: &str) -> Rule {
        let backend = Backend { to: to(host), weight: 1, filters: Vec::new(), invalid: None };
        Rule::new(Action::Forward(vec![backend]))
    }

    #[test]
    fn what_is_not_done_is_said() {
        assert_eq!(obeyable(&route(forward("cart"))), route(forward("cart")));
        let mut mirrored = forward("cart");
        let mirror = Mirror { to: to("shadow"), share: Share::ALL, invalid: None };
        mirrored.filters.push(Filter::Mirror(mirror));
        assert_eq!(obeyable(&route(mirrored)).rules[0].invalid.as_deref(), Some(MIRROR));
        let mut kept = forward("cart");
        let name = "session".into();
        let kind = SessionKind::Cookie;
        kept.session =
            Some(SessionPersistence { kind, name, path: None, absolute_timeout: None, permanent: false });
        assert_eq!(obeyable(&route(kept)).rules[0].invalid.as_deref(), Some(SESSION));
    }

    #[test]
    fn a_host_that_must_be_called_with_tls_is_known_by_its_name_or_end() {
        for (rule, refused) in [("cart.shop", true), ("*.shop", true), ("shop", false), ("*.other", false)] {
            assert_eq!(must_use_tls("cart.shop", &[rule.into()]).is_some(), refused, "{rule}");
        }
    }
}
