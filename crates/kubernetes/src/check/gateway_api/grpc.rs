//! Rules of a GRPCRoute.

use super::{filters, matches, references, session};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{FilterType, GrpcMethodMatch, GrpcRule, HTTPRouteFilter, MatchType};
use crate::problem::quoted;

pub(super) fn rule(rule: &GrpcRule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, one) in rule.matches.iter().enumerate() {
        let path = at.key("matches").index(index);
        if let Some(method) = &one.method {
            method_match(method, &path.key("method"), complaints);
        }
        matches::headers(&one.headers, &path.key("headers"), complaints);
    }
    grpc_filters(&rule.filters, &at.key("filters"), complaints);
    for (index, reference) in rule.backend_refs.iter().enumerate() {
        let path = at.key("backendRefs").index(index);
        references::backend(&reference.object(), &path, complaints);
        references::weight(reference.weight, &path, complaints);
        grpc_filters(&reference.filters, &path.key("filters"), complaints);
    }
    if let Some(persistence) = &rule.session_persistence {
        session::check(persistence, &at.key("sessionPersistence"), complaints);
    }
}

fn method_match(one: &GrpcMethodMatch, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if one.service.is_none() && one.method.is_none() {
        complaints.add(at, "neither service nor method is set", "set one of them, or remove the field");
    }
    let expression = one.kind.unwrap_or_default() == MatchType::RegularExpression;
    for (name, value, dots) in [("service", &one.service, true), ("method", &one.method, false)] {
        let Some(value) = value else { continue };
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || (dots && byte == b'.');
        let first = value.bytes().next();
        let named = value.bytes().all(fine) && first.is_some_and(|first| !first.is_ascii_digit());
        if value.is_empty() || (!expression && !named) {
            let reason = format!("{} is not the name of a gRPC {name}", quoted(value));
            complaints.add(&at.key(name), reason, "use letters, digits and _, as in package.Service");
        } else if expression {
            complaints.expect(&at.key(name), matches::expression(value));
        }
    }
}

/// A GRPCRoute has four kinds of filters only.
fn grpc_filters(list: &[HTTPRouteFilter], at: &FieldPath, complaints: &mut Complaints<'_>) {
    filters::list(list, at, complaints);
    for (index, filter) in list.iter().enumerate() {
        let known = matches!(
            filter.kind,
            FilterType::RequestHeaderModifier
                | FilterType::ResponseHeaderModifier
                | FilterType::RequestMirror
                | FilterType::ExtensionRef
        );
        if !known {
            let reason = format!("{:?} is no filter of a GRPCRoute", filter.kind);
            complaints.add(&at.index(index).key("type"), reason, "remove it");
        }
    }
}
