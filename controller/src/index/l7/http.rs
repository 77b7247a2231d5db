//! HTTPRoutes.

use ambit_kubernetes::gateway_api::{BackendObject, HTTPRoute, HTTPRouteFilter, HttpBackendRef, HttpRule};
use ambit_model::l7::ObjectKind;
use ambit_model::l7::route::{Action, Backend, Parent, Route, Rule};

use super::backends::resolve;
use super::filters::filters;
use super::{Author, View, matches, parents, resilience};
use crate::index::condition::unmet;

/// The route, unless no parent accepts it.
pub(super) fn route(written: &HTTPRoute, view: &View<'_>, notes: &mut Vec<String>) -> Option<Route> {
    let author = Author { kind: ObjectKind::HTTPRoute, metadata: &written.metadata };
    let spec = &written.spec;
    let parents = parents::parents(&spec.parent_refs, &spec.hostnames, &author, view, notes);
    if parents.is_empty() {
        return None;
    }
    let every = [HttpRule::default()];
    let rules = if spec.rules.is_empty() { &every[..] } else { &spec.rules };
    let rules = rules.iter().map(|one| rule(one, &parents, &author, view, notes)).collect();
    Some(Route { rules, ..author.route(parents, &spec.hostnames) })
}

fn rule(
    written: &HttpRule,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Rule {
    let action = Parts { filters: &written.filters, backends: &written.backend_refs };
    Rule {
        name: written.name.as_deref().map(Into::into),
        matches: matches::http(&written.matches),
        timeouts: resilience::timeouts(written.timeouts.as_ref()),
        retry: written.retry.as_ref().map(resilience::retry),
        session: written.session_persistence.as_ref().map(resilience::session),
        ..action.rule(parents, author, view, notes)
    }
}

/// What rules of HTTPRoutes and GRPCRoutes have in common.
pub(super) struct Parts<'r> {
    pub(super) filters: &'r [HTTPRouteFilter],
    pub(super) backends: &'r [HttpBackendRef],
}

impl Parts<'_> {
    /// A rule for every request with these filters and backends. Without backends and redirect it is answered 500.
    pub(super) fn rule(
        &self,
        parents: &[Parent],
        author: &Author<'_>,
        view: &View<'_>,
        notes: &mut Vec<String>,
    ) -> Rule {
        let own = filters(self.filters, parents, author, view, notes);
        let action = match own.redirect {
            Some(redirect) => Action::Redirect(redirect),
            None => {
                let backends = self.backends.iter();
                Action::Forward(backends.map(|one| backend(one, parents, author, view, notes)).collect())
            }
        };
        Rule { filters: own.filters, invalid: own.invalid, ..Rule::new(action) }
    }
}

fn backend(
    written: &HttpBackendRef,
    parents: &[Parent],
    author: &Author<'_>,
    view: &View<'_>,
    notes: &mut Vec<String>,
) -> Backend {
    let object: BackendObject = written.object();
    let resolved = resolve(&object, parents, author, view, notes);
    let own = filters(&written.filters, parents, author, view, notes);
    let redirect = own.redirect.map(|_| {
        let text =
            "a redirect at a backend is not known here, so its share is answered 500; put it into a rule";
        notes.push(unmet(author, "ResolvedRefs", "InvalidFilter", text));
        text.into()
    });
    Backend {
        to: resolved.to,
        weight: written.weight.unwrap_or(1),
        filters: own.filters,
        invalid: resolved.invalid.or(own.invalid).or(redirect),
    }
}
