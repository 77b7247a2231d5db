//! By which rules is a port of a service called? (Istio DestinationRule; BackendTLSPolicy and XBackendTrafficPolicy of the
//! Gateway API beside it)
//!
//! Of several rules for a host that a client obeys, the one that names the host goes before one with `*`, and the longest
//! of these before the others; among equals one of the client's own namespace, then one of the service's, then the
//! oldest. What the first does not say (a block, a subset) the next one may.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::ObjectKind;
use ambit_model::l7::destination_rule::{DestinationRule, Subset, TrafficPolicy};
use ambit_model::service::ServiceKey;

use super::routes::names::covers;

/// The rules of the mesh, by host.
#[derive(Debug, Default)]
pub struct TrafficRules {
    exact: HashMap<Text, Vec<Arc<DestinationRule>>>,
    wild: Vec<Arc<DestinationRule>>,
}

/// What the rules say about one port of a service, or of a subset of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Traffic {
    /// Blocks that nobody mentions have their defaults.
    pub policy: TrafficPolicy,
    /// Labels that endpoints must have, all of them: those of the subset.
    pub labels: Vec<(Text, Text)>,
}

/// Why a service cannot be called as the rules say. Its requests are answered 503.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTraffic {
    /// A rule that applies is invalid.
    #[error("{rule} cannot be obeyed: {why}")]
    Invalid {
        /// `<Kind>/<namespace>/<name>`.
        rule: Text,
        /// What is wrong with it.
        why: Text,
    },
    /// No rule has such a subset.
    #[error("no DestinationRule for {host} has a subset {subset:?}; add it there, or correct the route")]
    UnknownSubset {
        /// The host.
        host: Text,
        /// The subset.
        subset: Text,
    },
}

impl TrafficRules {
    /// Sorts rules by host.
    pub fn new(rules: impl IntoIterator<Item = Arc<DestinationRule>>) -> Self {
        let mut sorted = Self::default();
        for rule in rules {
            if rule.host.starts_with('*') {
                sorted.wild.push(rule);
            } else {
                sorted.exact.entry(rule.host.clone()).or_default().push(rule);
            }
        }
        sorted
    }

    /// How clients of a namespace (`None`: of none that is known) call a port of a service, or of a subset of it.
    ///
    /// # Errors
    /// It cannot be called: 503.
    pub fn traffic(
        &self,
        service: &ServiceKey,
        port: u16,
        subset: Option<&Text>,
        client: Option<&Text>,
    ) -> Result<Traffic, NoTraffic> {
        let rules = self.applying(service, client);
        if let Some((rule, why)) = rules.iter().find_map(|rule| Some((rule, rule.invalid.as_ref()?))) {
            return Err(NoTraffic::Invalid { rule: rule.key.to_string().into(), why: why.clone() });
        }
        let subsets = |rule: &&Arc<DestinationRule>| -> Option<Subset> {
            rule.subsets.iter().find(|each| Some(&each.name) == subset).cloned()
        };
        let found = rules.iter().find_map(|rule| Some((rule.clone(), subsets(&rule)?)));
        if let (Some(subset), None) = (subset, &found) {
            return Err(NoTraffic::UnknownSubset { host: service.hostname.clone(), subset: subset.clone() });
        }
        let mut policy = TrafficPolicy::default();
        for rule in &rules {
            let subset =
                found.as_ref().filter(|(owner, _)| Arc::ptr_eq(owner, rule)).map(|(_, subset)| subset);
            policy = first_says(policy, &said_by(rule, subset, port));
        }
        let labels = found.map(|(_, subset)| subset.labels).unwrap_or_default();
        Ok(Traffic { policy, labels })
    }

    /// The rules for a host that a client obeys, first the one that counts first.
    fn applying(&self, service: &ServiceKey, client: Option<&Text>) -> Vec<Arc<DestinationRule>> {
        let host = &service.hostname;
        let wild = self.wild.iter().filter(|rule| covers(&rule.host, host));
        let rules = self.exact.get(host).into_iter().flatten().chain(wild);
        let obeys = |rule: &&Arc<DestinationRule>| {
            rule.visible_to.is_empty() || client.is_some_and(|client| rule.visible_to.contains(client))
        };
        let mut rules: Vec<_> = rules.filter(obeys).cloned().collect();
        rules.sort_by_cached_key(|rule| {
            let wild = rule.host.starts_with('*');
            let nearness = if Some(&rule.key.namespace) == client {
                0
            } else if rule.key.namespace == service.namespace {
                1
            } else {
                2
            };
            // Istio's own object is what its users look at first.
            let other = rule.key.kind != ObjectKind::DestinationRule;
            (wild, Reverse(rule.host.len()), nearness, other, rule.created, rule.key.clone())
        });
        rules
    }
}

/// What one rule says about a port: a port's own words replace all others, a subset's go before the rule's.
fn said_by(rule: &DestinationRule, subset: Option<&Subset>, port: u16) -> TrafficPolicy {
    let of_port = |ports: &[(u16, TrafficPolicy)]| {
        ports.iter().find(|(own, _)| *own == port).map(|(_, policy)| policy.clone())
    };
    let own = subset.and_then(|subset| of_port(&subset.ports));
    own.or_else(|| of_port(&rule.ports)).unwrap_or_else(|| match subset {
        Some(subset) => first_says(subset.policy.clone(), &rule.policy),
        None => rule.policy.clone(),
    })
}

/// Block by block.
fn first_says(first: TrafficPolicy, second: &TrafficPolicy) -> TrafficPolicy {
    TrafficPolicy {
        load_balancer: first.load_balancer.or_else(|| second.load_balancer.clone()),
        connections: first.connections.or(second.connections),
        outlier: first.outlier.or(second.outlier),
        tls: first.tls.or_else(|| second.tls.clone()),
        retry_budget: first.retry_budget.or(second.retry_budget),
        proxy_protocol: first.proxy_protocol.or(second.proxy_protocol),
    }
}

#[cfg(test)]
mod tests {
    use ambit_model::l7::ObjectKey;
    use ambit_model::l7::destination_rule::{ConnectionPool, UpstreamTls};

    use super::*;

    const HOST: &str = "cart.shop.svc.cluster.local";

    /// A rule `namespace/name` that limits requests to a number, by which it is known.
    fn rule(namespace: &str, name: &str, host: &str, mark: u32) -> DestinationRule {
        DestinationRule {
            key: ObjectKey::new(ObjectKind::DestinationRule, namespace, name),
            created: 0,
            host: host.into(),
            visible_to: Vec::new(),
            policy: marked(mark),
            ports: Vec::new(),
            subsets: Vec::new(),
            invalid: None,
        }
    }

    fn marked(mark: u32) -> TrafficPolicy {
        let pool = ConnectionPool { max_requests: Some(mark), ..ConnectionPool::default() };
        TrafficPolicy { connections: Some(pool), ..TrafficPolicy::default() }
    }

    fn subset(name: &str, policy: TrafficPolicy) -> Subset {
        Subset { name: name.into(), labels: vec![("version".into(), name.into())], policy, ports: Vec::new() }
    }

    fn traffic(
        rules: &[DestinationRule],
        port: u16,
        subset: Option<&str>,
        client: &str,
    ) -> Result<Traffic, NoTraffic> {
        let rules = TrafficRules::new(rules.iter().cloned().map(Arc::new));
        let service = ServiceKey::new("shop", HOST);
        rules.traffic(&service, port, subset.map(Text::from).as_ref(), Some(&client.into()))
    }

    fn mark(rules: &[DestinationRule], port: u16, subset: Option<&str>, client: &str) -> Option<u32> {
        traffic(rules, port, subset, client).unwrap().policy.connections.and_then(|pool| pool.max_requests)
    }

    #[test]
    fn the_nearest_rule_counts_first() {
        let all = [
            rule("root", "any", "*", 1),
            rule("root", "wide", "*.local", 2),
            rule("root", "narrow", "*.shop.svc.cluster.local", 3),
            rule("root", "exact", HOST, 4),
            rule("shop", "own", HOST, 5),
            rule("web", "client", HOST, 6),
            rule("shop", "other", "other.shop.svc.cluster.local", 7),
        ];
        for (count, client, expected) in [
            (0, "web", None),
            (1, "web", Some(1)),
            (2, "web", Some(2)),
            (3, "web", Some(3)),
            (4, "web", Some(4)),
            (5, "web", Some(5)),
            (7, "web", Some(6)),
            (7, "x", Some(5)),
        ] {
            assert_eq!(mark(&all[..count], 80, None, client), expected, "{count} rules, {client}");
        }
        let dated = |name, created, mark| DestinationRule { created, ..rule("shop", name, HOST, mark) };
        assert_eq!(mark(&[dated("a", 2, 1), dated("b", 1, 2)], 80, None, "x"), Some(2));
        let hidden = DestinationRule { visible_to: vec!["web".into()], ..rule("shop", "a", HOST, 1) };
        assert_eq!(mark(std::slice::from_ref(&hidden), 80, None, "web"), Some(1));
        assert_eq!(mark(&[hidden], 80, None, "x"), None);
    }

    #[test]
    fn blocks_of_subsets_and_whole_ports() {
        let mut all = rule("shop", "a", HOST, 1);
        all.policy.proxy_protocol = Some(1);
        all.ports = vec![(81, marked(81))];
        let mut two = subset("v2", marked(2));
        two.ports = vec![(82, marked(82))];
        all.subsets = vec![subset("v1", TrafficPolicy::default()), two];
        let all = [all];
        for (port, name, expected, protocol) in [
            (80, None, 1, Some(1)),
            (80, Some("v1"), 1, Some(1)),
            (80, Some("v2"), 2, Some(1)),
            (81, None, 81, None),
            (81, Some("v2"), 81, None),
            (82, Some("v2"), 82, None),
        ] {
            assert_eq!(mark(&all, port, name, "x"), Some(expected), "{port} {name:?}");
            assert_eq!(
                traffic(&all, port, name, "x").unwrap().policy.proxy_protocol,
                protocol,
                "{port} {name:?}"
            );
        }
        assert_eq!(traffic(&all, 80, Some("v2"), "x").unwrap().labels, [("version".into(), "v2".into())]);
        assert!(traffic(&all, 80, None, "x").unwrap().labels.is_empty());
        let unknown = traffic(&all, 80, Some("v3"), "x").unwrap_err();
        assert_eq!(unknown, NoTraffic::UnknownSubset { host: HOST.into(), subset: "v3".into() });
    }

    #[test]
    fn other_kinds_say_what_is_not_said() {
        let tls = TrafficPolicy { tls: Some(UpstreamTls::default()), ..marked(2) };
        let gateway = DestinationRule {
            key: ObjectKey::new(ObjectKind::BackendTLSPolicy, "shop", "a"),
            policy: tls,
            ..rule("shop", "a", HOST, 0)
        };
        let both = traffic(&[gateway, rule("shop", "b", HOST, 1)], 80, None, "x").unwrap();
        assert_eq!(both.policy.connections, marked(1).connections);
        assert!(both.policy.tls.is_some());
        // A subset of a rule that counts later is found.
        let later = DestinationRule { subsets: vec![subset("v1", marked(3))], ..rule("root", "c", "*", 2) };
        let found = traffic(&[rule("shop", "b", HOST, 1), later], 80, Some("v1"), "x").unwrap();
        assert_eq!((found.policy.connections, found.labels.len()), (marked(1).connections, 1));
    }

    #[test]
    fn what_is_invalid_is_not_passed_over() {
        let broken = DestinationRule { invalid: Some("no such secret".into()), ..rule("shop", "a", HOST, 1) };
        let refused = traffic(&[broken, rule("root", "b", "*", 2)], 80, None, "x").unwrap_err();
        assert_eq!(refused.to_string(), "DestinationRule/shop/a cannot be obeyed: no such secret");
    }
}
