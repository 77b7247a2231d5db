//! Rules of an HTTPRoute.

use std::time::Duration;

use super::{filters, matches, references, session};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{
    FilterType, HTTPRouteFilter, HttpRule, PathMatchType, PathModifier, PathModifierType,
};

pub(super) fn http(rule: &HttpRule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, one) in rule.matches.iter().enumerate() {
        matches::http(one, &at.key("matches").index(index), complaints);
    }
    filters::list(&rule.filters, &at.key("filters"), complaints);
    for (index, reference) in rule.backend_refs.iter().enumerate() {
        let path = at.key("backendRefs").index(index);
        references::backend(&reference.object(), &path, complaints);
        references::weight(reference.weight, &path, complaints);
        filters::list(&reference.filters, &path.key("filters"), complaints);
    }
    let redirects = rule.filters.iter().any(|filter| filter.kind == FilterType::RequestRedirect);
    if redirects && !rule.backend_refs.is_empty() {
        let reason = "a rule that redirects sends nothing to backends";
        complaints.add(&at.key("backendRefs"), reason, "remove them, or the RequestRedirect");
    }
    prefix_replacements(rule, at, complaints);
    limits(rule, at, complaints);
    if let Some(persistence) = &rule.session_persistence {
        session::check(persistence, &at.key("sessionPersistence"), complaints);
    }
}

/// What takes the place of a match's prefix needs exactly one prefix to take the place of.
fn prefix_replacements(rule: &HttpRule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let one_prefix = match rule.matches.as_slice() {
        [] => true,
        [one] => one.path().0 == PathMatchType::PathPrefix,
        _ => false,
    };
    if one_prefix {
        return;
    }
    let in_backends = rule.backend_refs.iter().enumerate().flat_map(|(index, reference)| {
        let path = at.key("backendRefs").index(index).key("filters");
        reference.filters.iter().enumerate().map(move |(index, filter)| (path.index(index), filter))
    });
    let own = at.key("filters");
    let own = rule.filters.iter().enumerate().map(|(index, filter)| (own.index(index), filter));
    let replacing: Vec<FieldPath> =
        own.chain(in_backends).filter(|(_, filter)| replaces_prefix(filter)).map(|(path, _)| path).collect();
    for path in replacing {
        let reason = "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix";
        complaints.add(&path, reason, "split the rule, or use ReplaceFullPath");
    }
}

fn replaces_prefix(filter: &HTTPRouteFilter) -> bool {
    let redirect = filter.request_redirect.as_ref().and_then(|redirect| redirect.path.as_ref());
    let rewrite = filter.url_rewrite.as_ref().and_then(|rewrite| rewrite.path.as_ref());
    let prefix = |modifier: &PathModifier| modifier.kind == PathModifierType::ReplacePrefixMatch;
    redirect.is_some_and(prefix) || rewrite.is_some_and(prefix)
}

fn limits(rule: &HttpRule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(timeouts) = &rule.timeouts {
        let request = timeouts.request.map(|limit| limit.get()).filter(|limit| *limit > Duration::ZERO);
        let backend = timeouts.backend_request.map(|limit| limit.get());
        if let (Some(request), Some(backend)) = (request, backend)
            && backend > request
        {
            let reason = "one try may not take longer than the whole request";
            let path = at.key("timeouts").key("backendRequest");
            complaints.add(&path, reason, "make it at most timeouts.request");
        }
    }
    let codes = rule.retry.iter().flat_map(|retry| &retry.codes).enumerate();
    for (index, code) in codes.filter(|(_, code)| !(400..=599).contains(*code)) {
        let path = at.key("retry").key("codes").index(index);
        complaints.add(&path, format!("{code} is not the status of a failure"), "use 400 to 599");
    }
}
