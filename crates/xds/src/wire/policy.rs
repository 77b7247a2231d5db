//! `istio.security.Authorization` to a policy, straight from the bytes: generated code would forget unknown fields, and
//! a forgotten condition widens an ALLOW.

use ambit_model::policy::{Action, Clause, Match, Rule, Scope, ServiceAccount, StringMatch};
use ambit_model::{Policy, Text};
use ipnet::IpNet;

use super::address::{Fault, read_block, read_port};
use super::fields::{Broken, Fields, Value};
use super::{Rejection, Texts};

/// Reads the `istio.security.Authorization` resource called `name`.
///
/// There is always a policy to apply, never wider than the one that was meant. An element inside a rule that cannot be
/// read (an unknown field or enum value, extensions, an absent or doubled choice, an IP of other than 4 or 16 bytes,
/// a prefix longer than its address, a port of 0 or above 65535, text that is not UTF-8) makes that rule
/// [`Rule::undecodable`]. Anything else makes the policy [`Policy::unusable`], enforced even if it says dry-run.
/// In both cases the rejection names the first reason, for the server.
///
/// `held` is the scope of the version in force, which an unusable policy keeps when its own scope cannot be read; see
/// [`unusable_policy`] for one that was never known.
pub fn decode_policy(
    bytes: &[u8],
    name: &Text,
    held: Option<Scope>,
    texts: &mut Texts,
) -> (Policy, Option<Rejection>) {
    let mut draft = Draft::default();
    let fault = draft.read(bytes, texts).and_then(|()| draft.agrees_with(name)).err();
    if let Some(fault) = fault {
        let policy = draft.unusable(name, fault.to_string().into(), held, texts);
        return (policy, Some(Rejection { name: name.clone(), reason: fault.to_string().into() }));
    }
    let first = draft.rules.iter().enumerate().find_map(|(at, rule)| Some((at, rule.undecodable.clone()?)));
    let rejection = first
        .map(|(at, reason)| Rejection { name: name.clone(), reason: format!("rule {at}: {reason}").into() });
    let policy = Policy {
        key: name.clone(),
        namespace: texts.share(draft.namespace.unwrap_or_default()),
        scope: draft.scope.unwrap_or(Scope::Global),
        action: draft.action.unwrap_or(Action::Allow),
        rules: draft.rules,
        dry_run: draft.dry_run.unwrap_or(false),
        unusable: None,
    };
    (policy, rejection)
}

/// A policy that stands for one that could not be read at all: it denies everything in the scope of the version that is
/// in force (`held`). Without one, in the whole mesh when the namespace that its name begins with is empty or the root
/// namespace (`istio-system`, the default), where mesh-wide policies live, else in that namespace.
pub fn unusable_policy(name: &Text, reason: &str, held: Option<Scope>, texts: &mut Texts) -> Policy {
    Draft::default().unusable(name, reason.into(), held, texts)
}

/// Istio's default root namespace.
const ROOT: &str = "istio-system";

#[derive(Default)]
struct Draft<'a> {
    name: Option<&'a str>,
    namespace: Option<&'a str>,
    scope: Option<Scope>,
    action: Option<Action>,
    dry_run: Option<bool>,
    rules: Vec<Rule>,
}

impl<'a> Draft<'a> {
    fn read(&mut self, bytes: &'a [u8], texts: &mut Texts) -> Result<(), Fault> {
        const MESSAGE: &str = "Authorization";
        let (mut fault, mut scope_misread) = (None, false);
        for field in Fields::new(bytes) {
            let (number, value) = field?;
            let read = match number {
                1 => once(MESSAGE, 1, &mut self.name, || text(MESSAGE, 1, value)),
                2 => once(MESSAGE, 2, &mut self.namespace, || text(MESSAGE, 2, value)),
                3 => once(MESSAGE, 3, &mut self.scope, || scope(value)),
                4 => once(MESSAGE, 4, &mut self.action, || action(value)),
                5 => message(MESSAGE, 5, value).map(|bytes| self.rules.push(rule(bytes, texts))),
                6 => once(MESSAGE, 6, &mut self.dry_run, || flag(value)),
                7 => Err(Fault::Extensions(MESSAGE)),
                number => Err(Fault::Unknown { message: MESSAGE, number }),
            };
            scope_misread |= number == 3 && read.is_err();
            // The rest is still read: the scope may come after what is unknown.
            fault = fault.or(read.err());
        }
        self.scope = match self.scope {
            _ if scope_misread => None,
            // Every field was seen, so an absent scope is the default one.
            scope => scope.or(Some(Scope::Global)),
        };
        fault.map_or(Ok(()), Err)
    }

    fn agrees_with(&self, name: &Text) -> Result<(), Fault> {
        let own = format!("{}/{}", self.namespace.unwrap_or_default(), self.name.unwrap_or_default());
        if own == **name { Ok(()) } else { Err(Fault::Name(own)) }
    }

    fn unusable(&self, name: &Text, reason: Text, held: Option<Scope>, texts: &mut Texts) -> Policy {
        let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
        let guessed = if matches!(namespace, "" | ROOT) { Scope::Global } else { Scope::Namespace };
        Policy {
            key: name.clone(),
            namespace: texts.share(namespace),
            scope: self.scope.or(held).unwrap_or(guessed),
            action: Action::Deny,
            rules: Vec::new(),
            dry_run: false,
            unusable: Some(reason),
        }
    }
}

fn once<T>(
    message: &'static str,
    number: u32,
    slot: &mut Option<T>,
    read: impl FnOnce() -> Result<T, Fault>,
) -> Result<(), Fault> {
    if slot.is_some() {
        return Err(Fault::Twice { message, number });
    }
    *slot = Some(read()?);
    Ok(())
}

fn message<'a>(message: &'static str, number: u32, value: Value<'a>) -> Result<&'a [u8], Fault> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        _ => Err(Fault::Form { message, number }),
    }
}

fn text<'a>(name: &'static str, number: u32, value: Value<'a>) -> Result<&'a str, Fault> {
    std::str::from_utf8(message(name, number, value)?).map_err(|_| Fault::Text(name))
}

fn number(message: &'static str, number: u32, value: Value<'_>) -> Result<u64, Fault> {
    match value {
        Value::Number(value) => Ok(value),
        _ => Err(Fault::Form { message, number }),
    }
}

fn scope(value: Value<'_>) -> Result<Scope, Fault> {
    match number("Authorization", 3, value)? {
        0 => Ok(Scope::Global),
        1 => Ok(Scope::Namespace),
        2 => Ok(Scope::WorkloadSelector),
        value => Err(Fault::Enum { field: "scope", value: value.cast_signed() }),
    }
}

fn action(value: Value<'_>) -> Result<Action, Fault> {
    match number("Authorization", 4, value)? {
        0 => Ok(Action::Allow),
        1 => Ok(Action::Deny),
        value => Err(Fault::Enum { field: "action", value: value.cast_signed() }),
    }
}

fn flag(value: Value<'_>) -> Result<bool, Fault> {
    match number("Authorization", 6, value)? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(Fault::Enum { field: "dry_run", value: value.cast_signed() }),
    }
}

fn rule(bytes: &[u8], texts: &mut Texts) -> Rule {
    let mut rule = Rule::default();
    for field in Fields::new(bytes) {
        let clause = read_only("Rule", 1, field).and_then(|bytes| clause(bytes, texts));
        match clause {
            Ok(clause) => rule.clauses.push(clause),
            Err(fault) => {
                return Rule { clauses: Vec::new(), undecodable: Some(fault.to_string().into()) };
            }
        }
    }
    rule
}

/// The bytes of a message's only field.
fn read_only<'a>(
    name: &'static str,
    only: u32,
    field: Result<(u32, Value<'a>), Broken>,
) -> Result<&'a [u8], Fault> {
    match field? {
        (number, value) if number == only => message(name, number, value),
        (number, _) => Err(Fault::Unknown { message: name, number }),
    }
}

fn clause(bytes: &[u8], texts: &mut Texts) -> Result<Clause, Fault> {
    let matches = Fields::new(bytes)
        .map(|field| read_only("Clause", 2, field).and_then(|bytes| attributes(bytes, texts)))
        .collect::<Result<_, _>>()?;
    Ok(Clause { matches })
}

fn attributes(bytes: &[u8], texts: &mut Texts) -> Result<Match, Fault> {
    const MESSAGE: &str = "Match";
    let mut found = Match::default();
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            9 => ports(number, value, &mut found.destination_ports)?,
            10 => ports(number, value, &mut found.not_destination_ports)?,
            13 => return Err(Fault::Extensions(MESSAGE)),
            1..=8 | 11 | 12 => {
                let bytes = message(MESSAGE, number, value)?;
                match number {
                    1 => found.namespaces.push(string_match(bytes, texts)?),
                    2 => found.not_namespaces.push(string_match(bytes, texts)?),
                    3 => found.principals.push(string_match(bytes, texts)?),
                    4 => found.not_principals.push(string_match(bytes, texts)?),
                    5 => found.source_ips.push(block(bytes)?),
                    6 => found.not_source_ips.push(block(bytes)?),
                    7 => found.destination_ips.push(block(bytes)?),
                    8 => found.not_destination_ips.push(block(bytes)?),
                    11 => found.service_accounts.push(service_account(bytes, texts)?),
                    _ => found.not_service_accounts.push(service_account(bytes, texts)?),
                }
            }
            number => return Err(Fault::Unknown { message: MESSAGE, number }),
        }
    }
    Ok(found)
}

/// One port, or a packed list of them; protobuf readers take both.
fn ports(number: u32, value: Value<'_>, into: &mut Vec<u16>) -> Result<(), Fault> {
    match value {
        Value::Number(port) => into.push(port_of(port)?),
        Value::Bytes(mut packed) => {
            while !packed.is_empty() {
                let port = prost::encoding::decode_varint(&mut packed).map_err(|_| Broken)?;
                into.push(port_of(port)?);
            }
        }
        Value::Fixed => return Err(Fault::Form { message: "Match", number }),
    }
    Ok(())
}

fn port_of(port: u64) -> Result<u16, Fault> {
    match read_port("a destination port", port)? {
        0 => Err(Fault::PortZero { field: "a destination port" }),
        port => Ok(port),
    }
}

fn string_match(bytes: &[u8], texts: &mut Texts) -> Result<StringMatch, Fault> {
    const MESSAGE: &str = "StringMatch";
    let mut found = None;
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        once(MESSAGE, number, &mut found, || match number {
            1 => Ok(StringMatch::Exact(texts.share(text(MESSAGE, number, value)?))),
            2 => Ok(StringMatch::Prefix(texts.share(text(MESSAGE, number, value)?))),
            3 => Ok(StringMatch::Suffix(texts.share(text(MESSAGE, number, value)?))),
            4 => match message(MESSAGE, number, value)? {
                [] => Ok(StringMatch::Presence),
                _ => Err(Fault::Form { message: MESSAGE, number }),
            },
            number => Err(Fault::Unknown { message: MESSAGE, number }),
        })?;
    }
    found.ok_or(Fault::Missing("the text of a StringMatch"))
}

fn block(bytes: &[u8]) -> Result<IpNet, Fault> {
    const MESSAGE: &str = "Address";
    let (mut address, mut length) = (None, None);
    for field in Fields::new(bytes) {
        let (at, value) = field?;
        match at {
            1 => once(MESSAGE, at, &mut address, || message(MESSAGE, at, value))?,
            2 => once(MESSAGE, at, &mut length, || number(MESSAGE, at, value))?,
            number => return Err(Fault::Unknown { message: MESSAGE, number }),
        }
    }
    read_block(address.unwrap_or_default(), length.unwrap_or(0))
}

fn service_account(bytes: &[u8], texts: &mut Texts) -> Result<ServiceAccount, Fault> {
    const MESSAGE: &str = "ServiceAccountMatch";
    let (mut namespace, mut name) = (None, None);
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        match number {
            1 => once(MESSAGE, number, &mut namespace, || text(MESSAGE, number, value))?,
            2 => once(MESSAGE, number, &mut name, || text(MESSAGE, number, value))?,
            number => return Err(Fault::Unknown { message: MESSAGE, number }),
        }
    }
    Ok(ServiceAccount {
        namespace: texts.share(namespace.unwrap_or_default()),
        name: texts.share(name.unwrap_or_default()),
    })
}
