//! What is wrong with an AuthorizationPolicy, by the rules of Istio's validator and a few stricter ones.

use super::Complaints;
use super::core::boolean;
use super::scope::{Scope, scope};
use crate::problem::quoted;
use crate::{
    Action, AuthorizationPolicy, AuthorizationPolicySpec, Condition, FieldPath, IpBlock, Operation, Rule,
    Source, annotations, fields,
};

pub(super) fn check(policy: &AuthorizationPolicy, complaints: &mut Complaints<'_>) {
    let dry_run = FieldPath::of("metadata").key("annotations").key(annotations::DRY_RUN);
    boolean(policy.metadata.annotation(annotations::DRY_RUN), &dry_run, complaints);
    let spec = &policy.spec;
    let at = FieldPath::of("spec");
    let written = Scope {
        selector: spec.selector.as_ref(),
        target_refs: &spec.target_refs,
        target_ref: spec.target_ref.as_ref(),
    };
    scope(&written, &at, complaints);
    action(spec, &at, complaints);
    for (index, item) in spec.rules.iter().enumerate() {
        rule(item, &at.key("rules").index(index), complaints);
    }
}

fn action(spec: &AuthorizationPolicySpec, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if matches!(spec.action, Action::Deny | Action::Custom) && spec.rules.is_empty() {
        let reason = format!("{} without rules is meaningless: it never matches", spec.action);
        complaints.add(&at.key("rules"), reason, "add the rule {} to match everything");
    }
    let provider = spec.provider.as_ref().map(|provider| provider.name.as_str());
    match (spec.action, provider) {
        (Action::Custom, None | Some("")) => {
            complaints.add(&at.key("provider"), "CUSTOM needs a provider", "set provider.name");
        }
        (Action::Custom, Some(_)) | (_, None) => {}
        (other, Some(_)) => {
            let reason = format!("a provider goes with CUSTOM only, not with {other}");
            complaints.add(&at.key("provider"), reason, "remove it, or use CUSTOM");
        }
    }
    if spec.action == Action::Custom {
        for (index, rule) in spec.rules.iter().enumerate() {
            custom_rule(rule, &at.key("rules").index(index), complaints);
        }
    }
}

/// CUSTOM is decided before identities are known.
fn custom_rule(rule: &Rule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    const REMEDY: &str = "remove it, or use ALLOW or DENY";
    const IDENTITY: [&str; 4] =
        ["source.namespace", "source.principal", "source.serviceAccount", "source.trustDomain"];
    for (index, from) in rule.from.iter().enumerate() {
        let path = at.key("from").index(index).key("source");
        for (name, values) in identities(&from.source) {
            if !values.is_empty() {
                complaints.add(&path.key(name), "CUSTOM cannot match identities", REMEDY);
            }
        }
    }
    for (index, condition) in rule.when.iter().enumerate() {
        let identity =
            IDENTITY.contains(&condition.key.as_str()) || condition.key.starts_with("request.auth.");
        if identity {
            complaints.add(&at.key("when").index(index).key("key"), "CUSTOM cannot match identities", REMEDY);
        }
    }
}

fn rule(rule: &Rule, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, from) in rule.from.iter().enumerate() {
        source(&from.source, &at.key("from").index(index).key("source"), complaints);
    }
    for (index, to) in rule.to.iter().enumerate() {
        operation(&to.operation, &at.key("to").index(index).key("operation"), complaints);
    }
    for (index, item) in rule.when.iter().enumerate() {
        condition(item, &at.key("when").index(index), complaints);
    }
}

type Named<'a> = (&'static str, &'a [String]);

fn identities(source: &Source) -> [Named<'_>; 10] {
    [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ]
}

fn source(source: &Source, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if *source == Source::default() {
        let reason = "a source without any field would match everything";
        complaints.add(at, reason, "give it a field, or remove it");
    }
    for (name, values) in identities(source) {
        no_empty_text(values, &at.key(name), complaints);
    }
    let accounts = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    let others = [&source.principals, &source.not_principals, &source.namespaces, &source.not_namespaces];
    if accounts && others.into_iter().any(|values| !values.is_empty()) {
        let reason = "serviceAccounts cannot stand beside principals or namespaces";
        complaints.add(&at.key("serviceAccounts"), reason, "keep one of them");
    }
    for (name, values) in
        [("serviceAccounts", &source.service_accounts), ("notServiceAccounts", &source.not_service_accounts)]
    {
        for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            complaints.expect(&at.key(name).index(index), service_account(value));
        }
    }
}

fn service_account(text: &str) -> Result<(), String> {
    let (namespace, name) =
        text.split_once('/').map_or((None, text), |(namespace, name)| (Some(namespace), name));
    let fits = namespace.is_none_or(|namespace| crate::name_rules::dns_label(namespace).is_ok())
        && crate::name_rules::dns_subdomain(name).is_ok();
    if fits {
        return Ok(());
    }
    Err(format!("{} is not a service account; use NAME or NAMESPACE/NAME, without wildcards", quoted(text)))
}

fn no_empty_text(values: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, _) in values.iter().enumerate().filter(|(_, value)| value.is_empty()) {
        complaints.add(&at.index(index), "an empty text", "write a value, or remove it");
    }
}

fn operation(operation: &Operation, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if *operation == Operation::default() {
        let reason = "an operation without any field would match everything";
        complaints.add(at, reason, "give it a field, or remove it");
    }
    let texts: [Named<'_>; 6] = [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
        ("paths", &operation.paths),
        ("notPaths", &operation.not_paths),
    ];
    for (name, values) in texts {
        no_empty_text(values, &at.key(name), complaints);
    }
    ports(&operation.ports, &at.key("ports"), complaints);
    ports(&operation.not_ports, &at.key("notPorts"), complaints);
    for (name, values) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        for (index, value) in values.iter().enumerate() {
            complaints.expect(&at.key(name).index(index), path_template(value));
        }
    }
}

fn ports(values: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, value) in values.iter().enumerate() {
        complaints.expect(&at.index(index), port(value));
    }
}

fn port(text: &str) -> Result<(), String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => fields::port_number(number).map(|_| ()),
        _ => Err(format!("{} is not a port; use a port from 1 to 65535", quoted(text))),
    }
}

/// A path with `{*}` or `{**}` is a template, which knows no other wildcards and no named variables.
fn path_template(path: &str) -> Result<(), String> {
    if !path.contains("{*}") && !path.contains("{**}") {
        return Ok(());
    }
    let variables = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default());
    let named = variables.into_iter().any(|variable| variable != "*" && variable != "**");
    if named || path.contains("/*") || path.contains("*/") {
        return Err(format!(
            "{} is not a path template; use no wildcards but {{*}} and {{**}}",
            quoted(path)
        ));
    }
    Ok(())
}

fn condition(condition: &Condition, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if condition.key.is_empty() {
        return complaints.add(&at.key("key"), "the condition has no key", "set key");
    }
    if condition.values.is_empty() && condition.not_values.is_empty() {
        complaints.add(at, "the condition has neither values nor notValues", "set one of them");
    }
    complaints.expect(&at.key("key"), attribute(&condition.key));
    for (name, values) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        no_empty_text(values, &at.key(name), complaints);
        for (index, value) in values.iter().enumerate().filter(|(_, value)| !value.is_empty()) {
            let outcome = match condition.key.as_str() {
                "source.ip" | "remote.ip" | "destination.ip" => value.parse::<IpBlock>().map(|_| ()),
                "destination.port" => port(value),
                "source.serviceAccount" => service_account(value),
                _ => Ok(()),
            };
            complaints.expect(&at.key(name).index(index), outcome);
        }
    }
}

/// A condition's key, from Istio's list of attributes.
fn attribute(key: &str) -> Result<(), String> {
    const PLAIN: [&str; 11] = [
        "source.ip",
        "remote.ip",
        "source.namespace",
        "source.principal",
        "source.serviceAccount",
        "source.trustDomain",
        "request.auth.principal",
        "request.auth.audiences",
        "request.auth.presenter",
        "destination.ip",
        "destination.port",
    ];
    let bracketed = ["request.headers", "request.auth.claims", "experimental.envoy.filters."];
    if PLAIN.contains(&key) || key == "connection.sni" {
        return Ok(());
    }
    if bracketed.iter().any(|prefix| key.starts_with(prefix)) {
        return match key.split_once('[') {
            Some((_, name)) if name.len() > 1 && name.ends_with(']') => Ok(()),
            _ => Err(format!("{} names nothing; write it as {}", quoted(key), "request.headers[NAME]")),
        };
    }
    if key == "destination.namespace" || key.starts_with("destination.labels") {
        return Err(format!("{} is not a condition; use the policy's namespace and selector", quoted(key)));
    }
    Err(format!(
        "{} is not a known attribute; use one of {}, connection.sni, request.headers[NAME], request.auth.claims[NAME]",
        quoted(key),
        PLAIN.join(", ")
    ))
}
