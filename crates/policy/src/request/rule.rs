//! A rule, ready for use: its filters, and where its requests go.

use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::route::{Action, Backend, Order, Route, Rule};
use rand::{Rng, RngExt};

use super::expression::Patterns;
use super::filters::Filters;
use super::redirect::Redirection;

/// A rule, ready for use.
#[derive(Debug)]
pub struct CompiledRule {
    route: Arc<Route>,
    index: usize,
    invalid: Option<Text>,
    filters: Filters,
    backends: Box<[Result<Filters, Text>]>,
    redirection: Option<Redirection>,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'r> {
    /// To this backend.
    Backend {
        /// Its place among the rule's backends.
        index: usize,
        /// The backend.
        backend: &'r Backend,
        /// Its own filters, applied after the rule's.
        filters: &'r Filters,
    },
    /// To a backend that cannot be used, for this reason: 500.
    Invalid(&'r Text),
    /// Nowhere: there is no backend, or none that has weight: 500.
    Nowhere,
}

impl CompiledRule {
    /// Reads a rule. `unreadable` is what is wrong with its matches.
    pub(super) fn compile(
        route: Arc<Route>,
        index: usize,
        unreadable: Option<Text>,
        patterns: &mut Patterns,
    ) -> Self {
        let rule = &route.rules[index];
        let mut invalid = rule.invalid.clone().or(unreadable);
        let filters = Filters::compile(&rule.filters, patterns).unwrap_or_else(|why| {
            invalid.get_or_insert(why);
            Filters::default()
        });
        let mut backends = Box::default();
        let mut redirection = None;
        match &rule.action {
            Action::Forward(list) => {
                let compile = |backend: &Backend| match &backend.invalid {
                    Some(why) => Err(why.clone()),
                    None => Filters::compile(&backend.filters, patterns),
                };
                backends = list.iter().map(compile).collect();
            }
            Action::Redirect(redirect) => match Redirection::compile(redirect, patterns) {
                Ok(compiled) => redirection = Some(compiled),
                Err(why) => drop(invalid.get_or_insert(why)),
            },
            Action::Respond { status, .. } if !(200..600).contains(status) => {
                invalid.get_or_insert_with(|| format!("HTTP has no response status {status}").into());
            }
            Action::Respond { .. } => {}
        }
        Self { route, index, invalid, filters, backends, redirection }
    }

    /// The route.
    pub fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// The rule as it is written.
    pub fn rule(&self) -> &Rule {
        &self.route.rules[self.index]
    }

    /// Its place in the route.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Why requests that match it are answered 500. Looked at before everything else.
    pub fn invalid(&self) -> Option<&Text> {
        self.invalid.as_ref()
    }

    /// The rule's own filters.
    pub fn filters(&self) -> &Filters {
        &self.filters
    }

    /// Where clients are sent instead, if the rule redirects.
    pub fn redirection(&self) -> Option<&Redirection> {
        self.redirection.as_ref()
    }

    /// Draws a backend by weight, of a rule that forwards. One without weight is never drawn; a VirtualService's only
    /// destination needs none.
    pub fn choose(&self, rng: &mut impl Rng) -> Choice<'_> {
        let Action::Forward(list) = &self.rule().action else { return Choice::Nowhere };
        if let ([_], Order::Listed) = (&list[..], self.route.order) {
            return self.backend(0);
        }
        let total: u64 = list.iter().map(|backend| u64::from(backend.weight)).sum();
        if total == 0 {
            return Choice::Nowhere;
        }
        let mut left = rng.random_range(0..total);
        for (index, backend) in list.iter().enumerate() {
            match left.checked_sub(u64::from(backend.weight)) {
                Some(rest) => left = rest,
                None => return self.backend(index),
            }
        }
        Choice::Nowhere
    }

    /// A backend by its place, such as that of a session.
    pub fn backend(&self, index: usize) -> Choice<'_> {
        let Action::Forward(list) = &self.rule().action else { return Choice::Nowhere };
        match (list.get(index), self.backends.get(index)) {
            (Some(backend), Some(Ok(filters))) => Choice::Backend { index, backend, filters },
            (_, Some(Err(why))) => Choice::Invalid(why),
            _ => Choice::Nowhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use ambit_model::l7::route::{BackendRef, Filter, HeaderChange, Layer, Redirect, RedirectPort};
    use ambit_model::l7::{ObjectKey, ObjectKind};
    use ambit_model::service::ServiceKey;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn backend(name: &str, weight: u32) -> Backend {
        let to = BackendRef { service: ServiceKey::new("shop", name), port: 80, subset: None };
        Backend { to, weight, filters: Vec::new(), invalid: None }
    }

    fn compile(order: Order, rule: Rule) -> CompiledRule {
        let route = Route {
            key: ObjectKey::new(ObjectKind::HTTPRoute, "shop", "r"),
            created: 0,
            parents: Vec::new(),
            hostnames: Vec::new(),
            layer: Layer::Http,
            order,
            consumer: false,
            rules: vec![rule],
        };
        CompiledRule::compile(Arc::new(route), 0, None, &mut Patterns::default())
    }

    /// How often each place of the list is drawn in 10,000 times; the last two are invalid and nowhere.
    fn shares(rule: &CompiledRule) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(7);
        let mut counts = vec![0; rule.backends.len() + 2];
        for _ in 0..10_000 {
            let at = match rule.choose(&mut rng) {
                Choice::Backend { index, .. } => index,
                Choice::Invalid(_) => rule.backends.len(),
                Choice::Nowhere => rule.backends.len() + 1,
            };
            counts[at] += 1;
        }
        counts
    }

    #[test]
    fn backends_by_weight() {
        let forward = |backends| compile(Order::Specificity, Rule::new(Action::Forward(backends)));
        let shares_of = |backends| shares(&forward(backends));
        let drawn = shares_of(vec![backend("a", 70), backend("b", 30), backend("c", 0)]);
        assert!((6800..7200).contains(&drawn[0]) && drawn[2..] == [0, 0, 0], "{drawn:?}");
        let drawn = shares_of(vec![backend("a", u32::MAX), backend("b", u32::MAX)]);
        assert!((4800..5200).contains(&drawn[0]), "{drawn:?}");
        assert_eq!(shares_of(vec![]), [0, 10_000]);
        assert_eq!(shares_of(vec![backend("a", 0), backend("b", 0)]), [0, 0, 0, 10_000]);
        assert_eq!(shares_of(vec![backend("a", 0)]), [0, 0, 10_000]);
        let listed = compile(Order::Listed, Rule::new(Action::Forward(vec![backend("a", 0)])));
        assert_eq!(shares(&listed), [10_000, 0, 0]);
    }

    /// A backend that cannot be used keeps its share, which is answered 500.
    #[test]
    fn invalid_backends_keep_their_share() {
        let gone = Backend { invalid: Some("no such service".into()), ..backend("b", 1) };
        let change = HeaderChange { set: vec![("a b".into(), "".into())], ..HeaderChange::default() };
        let broken = Backend { filters: vec![Filter::Request(change)], ..backend("c", 1) };
        let rule =
            compile(Order::Specificity, Rule::new(Action::Forward(vec![backend("a", 2), gone, broken])));
        let drawn = shares(&rule);
        assert!((4700..5300).contains(&drawn[0]) && drawn[3] == 10_000 - drawn[0], "{drawn:?}");
        assert!(rule.invalid().is_none());
    }

    #[test]
    fn rules_that_cannot_be_obeyed_say_why() {
        let redirect =
            Redirect { scheme: None, host: None, path: None, port: RedirectPort::Automatic, status: 200 };
        let filter = Filter::Response(HeaderChange { remove: vec!["a b".into()], ..HeaderChange::default() });
        let forward = || Rule::new(Action::Forward(vec![backend("a", 1)]));
        for rule in [
            Rule::new(Action::Redirect(redirect)),
            Rule::new(Action::Respond { status: 99, body: "".into() }),
            Rule { filters: vec![filter], ..forward() },
            Rule { invalid: Some("unknown filter".into()), ..forward() },
        ] {
            assert!(compile(Order::Specificity, rule.clone()).invalid().is_some(), "{rule:?}");
        }
        assert!(compile(Order::Specificity, forward()).invalid().is_none());
    }
}
