//! GRPCRoutes.

use ambit_kubernetes::gateway_api::{GRPCRoute, GrpcRule};
use ambit_model::l7::ObjectKind;
use ambit_model::l7::route::{Route, Rule};

use super::http::Parts;
use super::{Author, View, matches, parents, resilience};

/// The route, unless no parent accepts it.
pub(super) fn route(written: &GRPCRoute, view: &View<'_>, notes: &mut Vec<String>) -> Option<Route> {
    let author = Author { kind: ObjectKind::GRPCRoute, metadata: &written.metadata };
    let spec = &written.spec;
    let parents = parents::parents(&spec.parent_refs, &spec.hostnames, &author, view, notes);
    if parents.is_empty() {
        return None;
    }
    let every = [GrpcRule::default()];
    let written = if spec.rules.is_empty() { &every[..] } else { &spec.rules };
    let mut rules = Vec::with_capacity(written.len());
    for rule in written {
        let action = Parts { filters: &rule.filters, backends: &rule.backend_refs };
        rules.push(Rule {
            name: rule.name.as_deref().map(Into::into),
            matches: matches::grpc(&rule.matches),
            session: rule.session_persistence.as_ref().map(resilience::session),
            ..action.rule(&parents, &author, view, notes)
        });
    }
    Some(Route { rules, ..author.route(parents, &spec.hostnames) })
}
