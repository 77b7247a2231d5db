//! The routes that one kind of client sees: layers, host names, and the order among their matches.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::l7::route::{Layer, Match, Order, Route};

use super::condition::Condition;
use super::index::{Entry, Index};
use super::path::Path;
use super::precedence::Rank;
use crate::request::canonical::Request;
use crate::request::expression::Patterns;
use crate::request::rule::CompiledRule;

/// Routes by layer: gRPC first.
#[derive(Debug, Default)]
pub(super) struct Set(Vec<Hosts>);

/// Matches by the host name of their route.
#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Text, Index>,
    /// By what follows `*`, with its dot.
    below: HashMap<Text, Index>,
    any: Index,
}

/// Matches with their ranks, by host name (`""` for any), before they are in order.
type Ranked = HashMap<Text, Vec<(Rank, Arc<Entry>)>>;

impl Set {
    pub(super) fn compile(mut routes: Vec<Arc<Route>>, by_hostname: bool, patterns: &mut Patterns) -> Self {
        if routes.iter().any(|route| route.order == Order::Specificity) {
            routes.retain(|route| route.order == Order::Specificity);
        }
        let layers = [Layer::Grpc, Layer::Http].into_iter();
        let layers = layers.filter(|layer| routes.iter().any(|route| route.layer == *layer));
        Self(layers.map(|layer| Hosts::compile(&routes, layer, by_hostname, patterns)).collect())
    }

    /// Whether no route is here.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn find(&self, request: &Request) -> Option<(&Arc<CompiledRule>, usize)> {
        self.0.iter().find_map(|hosts| hosts.find(request))
    }
}

impl Hosts {
    fn compile(routes: &[Arc<Route>], layer: Layer, by_hostname: bool, patterns: &mut Patterns) -> Self {
        let mut ranked = Ranked::new();
        for route in routes.iter().filter(|route| route.layer == layer) {
            let entries = entries(route, patterns);
            let any = [Text::from("")];
            let hostnames =
                if by_hostname && !route.hostnames.is_empty() { &route.hostnames[..] } else { &any };
            for hostname in hostnames {
                ranked.entry(hostname.clone()).or_default().extend(entries.iter().cloned());
            }
        }
        let mut hosts = Self::default();
        for (hostname, mut matches) in ranked {
            matches.sort_by(|(one, _), (other, _)| one.cmp(other));
            let index = Index::new(matches.into_iter().map(|(_, entry)| entry).collect());
            match hostname.strip_prefix('*') {
                _ if hostname.is_empty() => hosts.any = index,
                Some(suffix) => drop(hosts.below.insert(suffix.into(), index)),
                None => drop(hosts.exact.insert(hostname, index)),
            }
        }
        hosts
    }

    /// In the host of the request, then in wildcards that cover it, longest first, then in routes for any host.
    fn find(&self, request: &Request) -> Option<(&Arc<CompiledRule>, usize)> {
        let host = request.authority().host();
        let exact = self.exact.get(host).and_then(|index| index.find(request));
        exact.or_else(|| self.find_below(host, request)).or_else(|| self.any.find(request))
    }

    fn find_below(&self, host: &str, request: &Request) -> Option<(&Arc<CompiledRule>, usize)> {
        if self.below.is_empty() {
            return None;
        }
        let suffixes =
            host.match_indices('.').filter(|(at, _)| *at > 0).map(|(at, _)| &host[at..]).chain([""]);
        suffixes.filter_map(|suffix| self.below.get(suffix)).find_map(|index| index.find(request))
    }
}

/// The matches of a route's rules. A rule without any matches everything.
fn entries(route: &Arc<Route>, patterns: &mut Patterns) -> Vec<(Rank, Arc<Entry>)> {
    let everything = [Match::default()];
    let mut entries = Vec::new();
    for (at, rule) in route.rules.iter().enumerate() {
        let mut invalid = None;
        let matches = if rule.matches.is_empty() { &everything[..] } else { &rule.matches };
        let compiled: Vec<_> = matches
            .iter()
            .map(|each| {
                let mut unreadable = |reason: Text| invalid = invalid.take().or(Some(reason));
                let path = Path::compile(each.path.as_ref(), each.ignore_path_case, patterns);
                let path = path.unwrap_or_else(|error| {
                    unreadable(error.to_string().into());
                    Path::Any
                });
                (path, Condition::compile(each, patterns, &mut unreadable))
            })
            .collect();
        let rule = Arc::new(CompiledRule::compile(route.clone(), at, invalid, patterns));
        for (alternative, (each, (path, conditions))) in matches.iter().zip(compiled).enumerate() {
            let entry = Entry { path, conditions, rule: rule.clone() };
            entries.push((Rank::new(route, at, alternative, each), Arc::new(entry)));
        }
    }
    entries
}
