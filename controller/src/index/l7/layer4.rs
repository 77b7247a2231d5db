//! TLSRoutes and TCPRoutes.

use ambit_kubernetes::gateway_api::{BackendRef, Layer4Rule, TCPRoute, TLSRoute};
use ambit_model::l7::ObjectKind;
use ambit_model::l7::route::{Action, Backend, Match, Parent, Route, Rule};

use super::backends::resolve;
use super::{Author, View, parents};

/// The route, unless no parent accepts it. Host names are server names, which connections inside the mesh have, too.
pub(super) fn tls(written: &TLSRoute, view: &View<'_>, notes: &mut Vec<String>) -> Option<Route> {
    let author = Author { kind: ObjectKind::TLSRoute, metadata: &written.metadata };
    let spec = &written.spec;
    let parents = parents::parents(&spec.parent_refs, &spec.hostnames, &author, view, notes);
    let named = Match {
        server_names: spec.hostnames.iter().map(|name| name.as_str().into()).collect(),
        ..Match::default()
    };
    let matches = if spec.hostnames.is_empty() { Vec::new() } else { vec![named] };
    let rules = rules(&spec.rules, &matches, &parents, &author, view, notes);
    (!parents.is_empty()).then(|| Route { rules, ..author.route(parents, &spec.hostnames) })
}

/// The route, unless no parent accepts it.
pub(super) fn tcp(written: &TCPRoute, view: &View<'_>, notes: &mut Vec<String>) -> Option<Route> {
    let author = Author { kind: ObjectKind::TCPRoute, metadata: &written.metadata };
    let parents = parents::parents(&written.spec.parent_refs, &[], &author, view, notes);
    let rules = rules(&written.spec.rules, &[], &parents, &author, view, notes);
    (!parents.is_empty()).then(|| Route { rules, ..author.route(parents, &[]) })
}

fn rules(
    written: &[Layer4Rule],
    matches: &[Match],
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Vec<Rule> {
    if parents.is_empty() {
        return Vec::new();
    }
    let mut rules = Vec::with_capacity(written.len());
    for rule in written {
        let backends = rule.backend_refs.iter();
        let forward = backends.map(|one| backend(one, parents, author, view, notes)).collect();
        rules.push(Rule {
            name: rule.name.as_deref().map(Into::into),
            matches: matches.to_vec(),
            ..Rule::new(Action::Forward(forward))
        });
    }
    rules
}

fn backend(
    written: &BackendRef,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Backend {
    let resolved = resolve(&written.object(), parents, author, view, notes);
    Backend {
        to: resolved.to,
        weight: written.weight.unwrap_or(1),
        filters: Vec::new(),
        invalid: resolved.invalid,
    }
}
