//! AuthorizationPolicies that waypoints enforce: those with `targetRefs`.
//!
//! What cannot be understood makes its rule one that never allows and always denies. A policy without targets is not for
//! waypoints, whatever its namespace, as in Istio.

use ambit_kubernetes::{
    Action, AuthorizationPolicy, Condition as WrittenCondition, IpBlock, Operation as WrittenOperation,
    Rule as WrittenRule, Source as WrittenSource,
};
use ambit_model::Text;
use ambit_model::l7::matching::Values;
use ambit_model::l7::policy::{Attribute, Condition, Operation, PolicyAction, PolicyRule, Source};
use ambit_model::l7::{ObjectKind, RequestPolicy};
use ipnet::IpNet;

use super::targets::targets;
use super::{Author, View};
use crate::index::condition::unmet;

/// The policies that are attached to something.
pub(super) fn policies(view: &View<'_>, providers: &[Text], notes: &mut Vec<String>) -> Vec<RequestPolicy> {
    let all = view.objects.authorization.iter();
    all.filter_map(|written| policy(written, view, providers, notes)).collect()
}

fn policy(
    written: &AuthorizationPolicy,
    view: &View<'_>,
    providers: &[Text],
    notes: &mut Vec<String>,
) -> Option<RequestPolicy> {
    let spec = &written.spec;
    spec.targets().next()?;
    let author = Author { kind: ObjectKind::AuthorizationPolicy, metadata: &written.metadata };
    let targets = targets(spec.targets(), &author, view, notes);
    if targets.is_empty() {
        return None;
    }
    let mut rules = Vec::with_capacity(spec.rules.len());
    for (index, one) in spec.rules.iter().enumerate() {
        let rule = rule(one, &written.metadata.namespace);
        if let Some(why) = &rule.undecodable {
            let effect = match spec.action {
                Action::Allow => "it allows nothing",
                Action::Deny | Action::Custom => "it denies everything",
                Action::Audit => "it matches everything",
            };
            let text = format!("rules[{index}]: {why}; {effect}");
            notes.push(unmet(&author, "WaypointAccepted", "PartiallyInvalid", text));
        }
        rules.push(rule);
    }
    Some(RequestPolicy {
        key: author.key(),
        action: action(written, &author, providers, notes),
        dry_run: written.is_dry_run(),
        targets,
        rules,
        unusable: None,
    })
}

/// A provider that nobody configured is not asked: what its rules match is denied.
fn action(
    written: &AuthorizationPolicy,
    author: &Author<'_>,
    providers: &[Text],
    notes: &mut Vec<String>,
) -> PolicyAction {
    match written.spec.action {
        Action::Allow => PolicyAction::Allow,
        Action::Deny => PolicyAction::Deny,
        Action::Audit => PolicyAction::Audit,
        Action::Custom => {
            let name = written.spec.provider.as_ref().map_or("", |provider| &*provider.name);
            if !providers.iter().any(|known| **known == *name) {
                let text = format!(
                    "provider {name:?} is not in the mesh's extensionProviders, so what its rules match is denied"
                );
                notes.push(unmet(author, "WaypointAccepted", "Invalid", text));
            }
            PolicyAction::Custom(name.into())
        }
    }
}

fn rule(written: &WrittenRule, namespace: &str) -> PolicyRule {
    let mut reader = Reader { namespace, undecodable: None };
    PolicyRule {
        from: written.from.iter().map(|from| reader.source(&from.source)).collect(),
        to: written.to.iter().map(|to| reader.operation(&to.operation)).collect(),
        when: written.when.iter().filter_map(|condition| reader.condition(condition)).collect(),
        undecodable: reader.undecodable,
    }
}

/// Reads parts of a rule, and keeps the first thing that it could not.
struct Reader<'n> {
    namespace: &'n str,
    undecodable: Option<Text>,
}

impl Reader<'_> {
    fn source(&mut self, source: &WrittenSource) -> Source {
        for principal in source.principals.iter().chain(&source.not_principals) {
            self.principal(principal);
        }
        Source {
            principals: texts(&source.principals, &source.not_principals),
            request_principals: texts(&source.request_principals, &source.not_request_principals),
            namespaces: texts(&source.namespaces, &source.not_namespaces),
            service_accounts: self.accounts(&source.service_accounts, &source.not_service_accounts),
            trust_domains: texts(&source.trust_domains, &source.not_trust_domains),
            ip_blocks: blocks(&source.ip_blocks, &source.not_ip_blocks),
            remote_ip_blocks: blocks(&source.remote_ip_blocks, &source.not_remote_ip_blocks),
        }
    }

    fn operation(&mut self, operation: &WrittenOperation) -> Operation {
        Operation {
            hosts: texts(&operation.hosts, &operation.not_hosts),
            ports: Values { any: self.ports(&operation.ports), none: self.ports(&operation.not_ports) },
            methods: texts(&operation.methods, &operation.not_methods),
            paths: texts(&operation.paths, &operation.not_paths),
        }
    }

    fn condition(&mut self, condition: &WrittenCondition) -> Option<Condition> {
        let Some(key) = attribute(&condition.key) else {
            return self.unreadable(format!("when {:?} is not known here", condition.key));
        };
        let (any, none) = (&condition.values, &condition.not_values);
        let values = match key {
            Attribute::SourceServiceAccount => self.accounts(any, none),
            Attribute::SourcePrincipal => {
                any.iter().chain(none).for_each(|principal| self.principal(principal));
                texts(any, none)
            }
            _ => texts(any, none),
        };
        Some(Condition { key, values })
    }

    fn ports(&mut self, ports: &[String]) -> Vec<u16> {
        let read =
            |port: &String| port.parse().ok().or_else(|| self.unreadable(format!("{port:?} is no port")));
        ports.iter().filter_map(read).collect()
    }

    fn accounts(&self, any: &[String], none: &[String]) -> Values<Text> {
        let full = |account: &String| match account.contains('/') {
            true => account.as_str().into(),
            false => format!("{}/{account}", self.namespace).into(),
        };
        Values { any: any.iter().map(full).collect(), none: none.iter().map(full).collect() }
    }

    /// No principal has the scheme that SPIFFE IDs begin with: a `notPrincipals` with it would let everybody pass.
    fn principal(&mut self, text: &str) {
        if text.starts_with("spiffe://") {
            self.unreadable::<()>(format!("principal {text:?} is written with spiffe://; write it without"));
        }
    }

    fn unreadable<T>(&mut self, why: String) -> Option<T> {
        self.undecodable.get_or_insert(why.into());
        None
    }
}

/// An attribute by Istio's name of it.
fn attribute(key: &str) -> Option<Attribute> {
    let plain = match key {
        "source.ip" => Attribute::SourceIp,
        "remote.ip" => Attribute::RemoteIp,
        "source.namespace" => Attribute::SourceNamespace,
        "source.principal" => Attribute::SourcePrincipal,
        "source.serviceAccount" => Attribute::SourceServiceAccount,
        "source.trustDomain" => Attribute::SourceTrustDomain,
        "request.auth.principal" => Attribute::RequestPrincipal,
        "request.auth.audiences" => Attribute::Audiences,
        "request.auth.presenter" => Attribute::Presenter,
        "destination.ip" => Attribute::DestinationIp,
        "destination.port" => Attribute::DestinationPort,
        "connection.sni" => Attribute::ServerName,
        _ => {
            let names = |prefix: &str| -> Option<Vec<&str>> {
                let inside = key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
                Some(inside.split("][").collect())
            };
            return match (names("request.headers"), names("request.auth.claims")) {
                (Some(names), _) => match names[..] {
                    [name] => Some(Attribute::Header(name.to_ascii_lowercase().into())),
                    _ => None,
                },
                (None, Some(names)) => Some(Attribute::Claim(names.into_iter().map(Into::into).collect())),
                (None, None) => None,
            };
        }
    };
    Some(plain)
}

fn texts(any: &[String], none: &[String]) -> Values<Text> {
    let list = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
    Values { any: list(any), none: list(none) }
}

fn blocks(any: &[IpBlock], none: &[IpBlock]) -> Values<IpNet> {
    let list = |list: &[IpBlock]| list.iter().map(|block| block.network()).collect();
    Values { any: list(any), none: list(none) }
}
