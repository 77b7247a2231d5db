//! The conditions of a VirtualService's rules.

use std::collections::BTreeMap;

use ambit_kubernetes::istio::{HttpMatchRequest, L4Match, StringMatch, TlsMatch};
use ambit_model::Text;
use ambit_model::l7::matching::{FieldMatch, PathMatch, ValueMatch};
use ambit_model::l7::route::Match;
use ipnet::IpNet;

use super::notes::Unheard;

/// How headers begin that stand for claims of a token.
const CLAIMS: &str = "@request.auth.claims";
/// What separates the names of nested claims ([`FieldMatch::name`]).
const CLAIM_SEPARATOR: &str = "\u{1f}";

/// The alternatives that are about traffic inside the mesh; `None` where there are some and none is.
pub(super) fn http(
    written: &[HttpMatchRequest],
    field: &str,
    unheard: &mut Unheard<'_>,
) -> Option<Vec<Match>> {
    let mut matches = Vec::new();
    for (at, one) in written.iter().enumerate().filter(|(_, one)| in_mesh(&one.gateways)) {
        matches.push(http_match(one, &format!("{field}.match[{at}]"), unheard));
    }
    (written.is_empty() || !matches.is_empty()).then_some(matches)
}

pub(super) fn tls(written: &[TlsMatch], field: &str, unheard: &mut Unheard<'_>) -> Option<Vec<Match>> {
    let mut matches = Vec::new();
    for (at, one) in written.iter().enumerate().filter(|(_, one)| in_mesh(&one.gateways)) {
        matches.push(Match {
            server_names: one.sni_hosts.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
            destination_blocks: blocks(&one.destination_subnets, &format!("{field}.match[{at}]"), unheard),
            port: one.port,
            source_labels: pairs(&one.source_labels),
            source_namespace: filled(&one.source_namespace),
            ..Match::default()
        });
    }
    (written.is_empty() || !matches.is_empty()).then_some(matches)
}

pub(super) fn tcp(written: &[L4Match], field: &str, unheard: &mut Unheard<'_>) -> Option<Vec<Match>> {
    let mut matches = Vec::new();
    for (at, one) in written.iter().enumerate().filter(|(_, one)| in_mesh(&one.gateways)) {
        let field = format!("{field}.match[{at}]");
        if !one.source_subnet.is_empty() {
            unheard.refuse(
                &format!("{field}.sourceSubnet"),
                "connections are not matched by the client's address",
            );
        }
        matches.push(Match {
            destination_blocks: blocks(&one.destination_subnets, &field, unheard),
            port: one.port,
            source_labels: pairs(&one.source_labels),
            source_namespace: filled(&one.source_namespace),
            ..Match::default()
        });
    }
    (written.is_empty() || !matches.is_empty()).then_some(matches)
}

/// A comparison; one that says nothing, or whose expression is `*`, asks only that there is something (Istio).
pub(super) fn text(written: &StringMatch) -> ValueMatch {
    match (&written.exact, &written.prefix, written.regex.as_deref()) {
        (Some(exact), _, _) => ValueMatch::Exact(exact.as_str().into()),
        (None, Some(prefix), _) => ValueMatch::Prefix(prefix.as_str().into()),
        (None, None, None | Some("*")) => ValueMatch::Present,
        (None, None, Some(regex)) => ValueMatch::Regex(regex.into()),
    }
}

fn http_match(written: &HttpMatchRequest, field: &str, unheard: &mut Unheard<'_>) -> Match {
    if !written.stat_prefix.is_empty() {
        unheard.note(&format!("{field}.statPrefix"), "it names counters of Envoy's, which are not here");
    }
    let mut headers = Vec::new();
    let mut claims = Vec::new();
    for (name, value) in &written.headers {
        match name.strip_prefix(CLAIMS) {
            Some(rest) => claims.push(FieldMatch { name: claim(rest), value: text(value) }),
            None => headers.push(FieldMatch { name: name.to_ascii_lowercase().into(), value: text(value) }),
        }
    }
    let mut without_headers = Vec::new();
    for (name, value) in &written.without_headers {
        if name.starts_with(CLAIMS) {
            unheard.refuse(&format!("{field}.withoutHeaders"), "claims are not compared so");
            continue;
        }
        without_headers.push(FieldMatch { name: name.to_ascii_lowercase().into(), value: text(value) });
    }
    let query = written.query_params.iter();
    Match {
        path: written.uri.as_ref().and_then(path),
        ignore_path_case: written.ignore_uri_case,
        method: written.method.as_ref().map(text),
        scheme: written.scheme.as_ref().map(text),
        authority: written.authority.as_ref().map(text),
        headers,
        without_headers,
        query: query
            .map(|(name, value)| FieldMatch { name: name.as_str().into(), value: text(value) })
            .collect(),
        claims,
        port: written.port,
        source_namespace: filled(&written.source_namespace),
        source_labels: pairs(&written.source_labels),
        ..Match::default()
    }
}

fn path(written: &StringMatch) -> Option<PathMatch> {
    Some(match text(written) {
        ValueMatch::Exact(path) => PathMatch::Exact(path),
        ValueMatch::Prefix(path) => PathMatch::Prefix(path),
        ValueMatch::Regex(path) => PathMatch::Regex(path),
        ValueMatch::Suffix(_) | ValueMatch::Present => return None,
    })
}

/// `.a.b` or `[a][b]`.
fn claim(rest: &str) -> Text {
    let names: Vec<&str> = match rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inside) => inside.split("][").collect(),
        None => rest.trim_start_matches('.').split('.').collect(),
    };
    names.join(CLAIM_SEPARATOR).into()
}

fn in_mesh(gateways: &[String]) -> bool {
    gateways.is_empty() || gateways.iter().any(|gateway| gateway == "mesh")
}

fn filled(text: &str) -> Option<Text> {
    (!text.is_empty()).then(|| text.into())
}

fn pairs(labels: &BTreeMap<String, String>) -> Vec<(Text, Text)> {
    labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

fn blocks(written: &[String], field: &str, unheard: &mut Unheard<'_>) -> Vec<IpNet> {
    let mut blocks = Vec::new();
    for text in written {
        match text.parse::<ambit_kubernetes::IpBlock>() {
            Ok(block) => blocks.push(block.network()),
            Err(_) => unheard.refuse(&format!("{field}.destinationSubnets"), "it is no block of addresses"),
        }
    }
    blocks
}
