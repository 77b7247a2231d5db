//! Do the conditions of a match hold, besides its path?

use ambit_model::Text;
use ambit_model::l7::matching::{FieldMatch, ValueMatch};
use ambit_model::l7::route::Match;
use ambit_model::policy::block_contains;
use ipnet::IpNet;

use super::names::covers;
use crate::request::canonical::Request;
use crate::request::expression::Patterns;
use crate::request::fields::Field;
use crate::request::value::Value;

/// What separates the names of a nested claim ([`FieldMatch::name`]).
const CLAIM_SEPARATOR: char = '\u{1f}';

/// One condition.
#[derive(Debug)]
pub(super) enum Condition {
    Method(Value),
    Scheme(Value),
    Authority(Value),
    Field(Field, Value),
    /// Absent, or otherwise.
    NotField(Field, Value),
    Query(Text, Value),
    Claim(Vec<Text>, Value),
    Port(u16),
    SourceNamespace(Text),
    SourceLabels(Vec<(Text, Text)>),
    Gateways(Vec<Text>),
    ServerNames(Vec<Text>),
    DestinationBlocks(Vec<IpNet>),
}

impl Condition {
    /// The conditions of a match besides its path, the cheap ones first. What cannot be read is left out, and `unreadable`
    /// told why.
    pub(super) fn compile(
        each: &Match,
        patterns: &mut Patterns,
        unreadable: &mut impl FnMut(Text),
    ) -> Box<[Self]> {
        let mut conditions = Vec::new();
        conditions.extend(each.port.map(Self::Port));
        conditions.extend(each.source_namespace.clone().map(Self::SourceNamespace));
        let lists = [
            (!each.source_labels.is_empty()).then(|| Self::SourceLabels(each.source_labels.clone())),
            (!each.gateways.is_empty()).then(|| Self::Gateways(each.gateways.clone())),
            (!each.server_names.is_empty()).then(|| Self::ServerNames(each.server_names.clone())),
            (!each.destination_blocks.is_empty())
                .then(|| Self::DestinationBlocks(each.destination_blocks.clone())),
        ];
        conditions.extend(lists.into_iter().flatten());
        let mut value = |value: &ValueMatch, build: &dyn Fn(Value) -> Result<Self, Text>| {
            let compiled = Value::compile(value, patterns).map_err(|invalid| Text::from(invalid.to_string()));
            match compiled.and_then(build) {
                Ok(condition) => conditions.push(condition),
                Err(reason) => unreadable(reason),
            }
        };
        for (match_, build) in [
            (&each.method, (|v| Ok(Self::Method(v))) as fn(Value) -> Result<Self, Text>),
            (&each.scheme, |v| Ok(Self::Scheme(v))),
            (&each.authority, |v| Ok(Self::Authority(v.lower()))),
        ] {
            if let Some(match_) = match_ {
                value(match_, &build);
            }
        }
        for FieldMatch { name, value: match_ } in first_of_each(&each.headers, true) {
            value(match_, &|v| {
                Ok(Self::Field(Field::parse(name).map_err(|invalid| Text::from(invalid.to_string()))?, v))
            });
        }
        for FieldMatch { name, value: match_ } in &each.without_headers {
            value(match_, &|v| {
                Ok(Self::NotField(Field::parse(name).map_err(|invalid| Text::from(invalid.to_string()))?, v))
            });
        }
        for FieldMatch { name, value: match_ } in first_of_each(&each.query, false) {
            value(match_, &|v| Ok(Self::Query(name.clone(), v)));
        }
        for FieldMatch { name, value: match_ } in &each.claims {
            value(match_, &|v| Ok(Self::Claim(name.split(CLAIM_SEPARATOR).map(Text::from).collect(), v)));
        }
        conditions.into()
    }

    pub(super) fn holds(&self, request: &Request) -> bool {
        let destination = &request.destination;
        match self {
            Self::Method(value) => value.holds(request.method.as_str().as_bytes()),
            Self::Scheme(value) => value.holds(request.scheme.as_str().as_bytes()),
            Self::Authority(value) => value.holds(request.authority().as_str().as_bytes()),
            Self::Field(field, value) => field.of(request).is_some_and(|text| value.holds(&text)),
            Self::NotField(field, value) => !field.of(request).is_some_and(|text| value.holds(&text)),
            Self::Query(name, value) => request.query_parameter(name).is_some_and(|text| value.holds(&text)),
            Self::Claim(path, value) => request
                .token
                .as_ref()
                .is_some_and(|token| token.claim(path).any(|text| value.holds(text.as_bytes()))),
            Self::Port(port) => destination.port == *port,
            Self::SourceNamespace(namespace) => request.client.namespace() == Some(namespace),
            Self::SourceLabels(labels) => labels.iter().all(|label| request.client.labels.contains(label)),
            Self::Gateways(gateways) => {
                let own = destination.gateway.as_deref().unwrap_or("mesh");
                gateways.iter().any(|each| **each == *own)
            }
            Self::ServerNames(names) => destination
                .server_name
                .as_deref()
                .is_some_and(|own| names.iter().any(|name| covers(name, own))),
            Self::DestinationBlocks(blocks) => {
                destination.ip.is_some_and(|ip| blocks.iter().any(|block| block_contains(block, ip)))
            }
        }
    }
}

/// Of several conditions on one field only the first counts (Gateway API HTTPHeaderMatch, HTTPQueryParamMatch).
pub(super) fn first_of_each(fields: &[FieldMatch], any_case: bool) -> impl Iterator<Item = &FieldMatch> {
    let same =
        move |one: &str, other: &str| if any_case { one.eq_ignore_ascii_case(other) } else { one == other };
    fields.iter().enumerate().filter_map(move |(at, field)| {
        let repeated = fields[..at].iter().any(|before| same(&before.name, &field.name));
        (!repeated).then_some(field)
    })
}
