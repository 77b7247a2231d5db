//! Rules of a VirtualService that another one, without hosts, says more about (Istio `delegate`).

use ambit_kubernetes::istio::{Delegate, HttpMatchRequest, HttpRoute, StringMatch};

use super::{View, hosts};

/// The delegate's rules, each narrowed by the root's matches and with what the root says where it says something; and the
/// namespace in which their names are looked up.
pub(super) fn merged<'v>(
    root: &HttpRoute,
    delegate: &Delegate,
    namespace: &str,
    view: &View<'v>,
) -> Result<(Vec<HttpRoute>, &'v str), String> {
    let place = if delegate.namespace.is_empty() { namespace } else { &delegate.namespace };
    let named = format!("VirtualService {place}/{}", delegate.name);
    let found = view.objects.istio.virtual_services.get(place, &delegate.name);
    let found = found.ok_or_else(|| format!("{named} does not exist"))?;
    if !found.spec.hosts.is_empty() {
        return Err(format!("{named} has hosts of its own, so that nothing can be delegated to it"));
    }
    let exported = hosts::exported(&found.spec.export_to, place);
    let exported = exported.is_some_and(|to| to.is_empty() || to.iter().any(|to| **to == *namespace));
    if !exported {
        return Err(format!("{named} is not exported to {namespace}"));
    }
    if found.spec.http.iter().any(|route| route.delegate.is_some()) {
        return Err(format!("{named} delegates again"));
    }
    let mut routes = Vec::new();
    for own in &found.spec.http {
        routes.push(one(root, own).ok_or_else(|| {
            format!("the matches of {named} contradict those of the rule that delegates to it")
        })?);
    }
    if routes.is_empty() {
        return Err(format!("{named} has no http rules"));
    }
    Ok((routes, &found.metadata.namespace))
}

fn one(root: &HttpRoute, own: &HttpRoute) -> Option<HttpRoute> {
    let mut matches = Vec::new();
    match (root.matches.is_empty(), own.matches.is_empty()) {
        (true, _) => matches.clone_from(&own.matches),
        (false, true) => matches.clone_from(&root.matches),
        (false, false) => {
            for outer in &root.matches {
                for inner in &own.matches {
                    matches.push(both(outer, inner)?);
                }
            }
        }
    }
    Some(HttpRoute {
        name: [root.name.as_str(), own.name.as_str()]
            .into_iter()
            .filter(|name| !name.is_empty())
            .collect::<Vec<_>>()
            .join("-"),
        matches,
        delegate: None,
        rewrite: root.rewrite.clone().or_else(|| own.rewrite.clone()),
        timeout: root.timeout.or(own.timeout),
        retries: root.retries.clone().or_else(|| own.retries.clone()),
        fault: root.fault.clone().or_else(|| own.fault.clone()),
        mirror: root.mirror.clone().or_else(|| own.mirror.clone()),
        mirrors: if root.mirrors.is_empty() { own.mirrors.clone() } else { root.mirrors.clone() },
        mirror_percentage: root.mirror_percentage.or(own.mirror_percentage),
        mirror_percent: root.mirror_percent.or(own.mirror_percent),
        cors_policy: root.cors_policy.clone().or_else(|| own.cors_policy.clone()),
        headers: root.headers.clone().or_else(|| own.headers.clone()),
        ..own.clone()
    })
}

/// Both sets of conditions; `None` where a field is asked to be two things.
fn both(outer: &HttpMatchRequest, inner: &HttpMatchRequest) -> Option<HttpMatchRequest> {
    let mut all = inner.clone();
    all.uri = paths(outer.uri.as_ref(), inner.uri.as_ref())?;
    for (own, other) in [
        (&mut all.scheme, &outer.scheme),
        (&mut all.method, &outer.method),
        (&mut all.authority, &outer.authority),
    ] {
        either(own, other)?;
    }
    either(&mut all.port, &outer.port)?;
    for (own, other) in [
        (&mut all.headers, &outer.headers),
        (&mut all.query_params, &outer.query_params),
        (&mut all.without_headers, &outer.without_headers),
    ] {
        for (name, value) in other {
            if own.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
                return None;
            }
        }
    }
    for (name, value) in &outer.source_labels {
        if all.source_labels.insert(name.clone(), value.clone()).is_some_and(|before| before != *value) {
            return None;
        }
    }
    all.ignore_uri_case |= outer.ignore_uri_case;
    match (all.source_namespace.is_empty(), outer.source_namespace.is_empty()) {
        (true, _) => all.source_namespace.clone_from(&outer.source_namespace),
        (false, false) if all.source_namespace != outer.source_namespace => return None,
        _ => {}
    }
    Some(all)
}

fn either<T: Clone + PartialEq>(own: &mut Option<T>, other: &Option<T>) -> Option<()> {
    match (&own, other) {
        (None, other) => own.clone_from(other),
        (Some(one), Some(other)) if one != other => return None,
        _ => {}
    }
    Some(())
}

/// A path that both take: the inner one must lie within the outer prefix.
fn paths(outer: Option<&StringMatch>, inner: Option<&StringMatch>) -> Option<Option<StringMatch>> {
    let (Some(outer), Some(inner)) = (outer, inner) else {
        return Some(outer.or(inner).cloned());
    };
    let text = inner.exact.as_ref().or(inner.prefix.as_ref());
    let within = match (&outer.prefix, text) {
        (Some(prefix), Some(text)) => text.starts_with(prefix.as_str()),
        _ => outer == inner,
    };
    within.then(|| Some(inner.clone()))
}
