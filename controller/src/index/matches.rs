//! Parts of a policy's rule as the model's matches.

use ambit_kubernetes::{Condition, IpBlock, Operation, Source};
use ambit_model::Text;
use ambit_model::policy::{Match, ServiceAccount, StringMatch};
use ipnet::IpNet;

/// A match, whether layer-7 fields were left out of it, and what could not be read.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) matches: Match,
    pub(super) layer_7: bool,
    pub(super) unreadable: Option<Text>,
}

pub(super) fn source(source: &Source, namespace: &str) -> Part {
    let layer_7 = [
        &source.request_principals,
        &source.not_request_principals,
        &source.trust_domains,
        &source.not_trust_domains,
    ]
    .iter()
    .any(|texts| !texts.is_empty())
        || !source.remote_ip_blocks.is_empty()
        || !source.not_remote_ip_blocks.is_empty();
    let matches = Match {
        namespaces: texts(&source.namespaces),
        not_namespaces: texts(&source.not_namespaces),
        principals: texts(&source.principals),
        not_principals: texts(&source.not_principals),
        service_accounts: accounts(&source.service_accounts, namespace),
        not_service_accounts: accounts(&source.not_service_accounts, namespace),
        source_ips: source.ip_blocks.iter().map(|block| block.network()).collect(),
        not_source_ips: source.not_ip_blocks.iter().map(|block| block.network()).collect(),
        ..Match::default()
    };
    Part { matches, layer_7, unreadable: None }
}

pub(super) fn operation(operation: &Operation) -> Part {
    let layer_7 = [
        &operation.hosts,
        &operation.not_hosts,
        &operation.methods,
        &operation.not_methods,
        &operation.paths,
        &operation.not_paths,
    ]
    .iter()
    .any(|texts| !texts.is_empty());
    let mut part = Part { layer_7, ..Part::default() };
    part.matches.destination_ports = part.ports(&operation.ports);
    part.matches.not_destination_ports = part.ports(&operation.not_ports);
    part
}

pub(super) fn condition(condition: &Condition) -> Part {
    let (values, not_values) = (&condition.values, &condition.not_values);
    let mut part = Part::default();
    match condition.key.as_str() {
        "source.ip" => {
            part.matches.source_ips = part.blocks(values);
            part.matches.not_source_ips = part.blocks(not_values);
        }
        "source.namespace" => {
            part.matches.namespaces = texts(values);
            part.matches.not_namespaces = texts(not_values);
        }
        "source.principal" => {
            part.matches.principals = texts(values);
            part.matches.not_principals = texts(not_values);
        }
        "destination.ip" => {
            part.matches.destination_ips = part.blocks(values);
            part.matches.not_destination_ips = part.blocks(not_values);
        }
        "destination.port" => {
            part.matches.destination_ports = part.ports(values);
            part.matches.not_destination_ports = part.ports(not_values);
        }
        _ => part.layer_7 = true,
    }
    part
}

impl Part {
    fn ports(&mut self, values: &[String]) -> Vec<u16> {
        values.iter().filter_map(|value| self.read(value, value.parse().ok())).collect()
    }

    fn blocks(&mut self, values: &[String]) -> Vec<IpNet> {
        values.iter().filter_map(|value| self.read(value, value.parse().ok().map(IpBlock::network))).collect()
    }

    /// A value that was read, or a note that it was not: the rule is then narrowed, not the value forgotten.
    fn read<T>(&mut self, value: &str, read: Option<T>) -> Option<T> {
        if read.is_none() {
            self.unreadable = Some(format!("{value:?} cannot be read").into());
        }
        read
    }
}

fn texts(values: &[String]) -> Vec<StringMatch> {
    values.iter().map(|value| text(value)).collect()
}

/// `*` is any text, `*end` and `beginning*` are what they look like, anything else is the whole text.
fn text(value: &str) -> StringMatch {
    match (value, value.strip_prefix('*'), value.strip_suffix('*')) {
        ("*", _, _) => StringMatch::Presence,
        (_, Some(end), _) => StringMatch::Suffix(end.into()),
        (_, _, Some(beginning)) => StringMatch::Prefix(beginning.into()),
        _ => StringMatch::Exact(value.into()),
    }
}

fn accounts(values: &[String], namespace: &str) -> Vec<ServiceAccount> {
    let account = |value: &String| {
        let (namespace, name) = value.split_once('/').unwrap_or((namespace, value));
        ServiceAccount { namespace: namespace.into(), name: name.into() }
    };
    values.iter().map(account).collect()
}
