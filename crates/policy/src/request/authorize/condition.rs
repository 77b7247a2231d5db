//! Does a condition on one attribute hold? (Istio AuthorizationPolicy `when`)

use ambit_model::Text;
use ambit_model::l7::matching::Values;
use ambit_model::policy::{ServiceAccount, StringMatch, block_contains};
use ipnet::IpNet;

use super::matching::{is_account, is_request_principal, owned_pair, pair};
use super::pattern::{Namespace, Pattern, RequestPrincipal};
use crate::matching::principal_matches;
use crate::request::canonical::Request;
use crate::request::fields::Field;

/// A condition, ready for use.
#[derive(Debug)]
pub(super) enum Condition {
    /// It asks nothing: what is left of one whose values are not known.
    Nothing,
    Header(Field, Values<Pattern>),
    SourceIp(Values<IpNet>),
    RemoteIp(Values<IpNet>),
    DestinationIp(Values<IpNet>),
    DestinationPort(Values<u16>),
    SourceNamespace(Values<Namespace>),
    SourcePrincipal(Values<StringMatch>),
    SourceServiceAccount(Values<ServiceAccount>),
    SourceTrustDomain(Values<Pattern>),
    RequestPrincipal(Values<RequestPrincipal>),
    /// Audiences and presenter are claims too.
    Claim(Vec<Text>, Values<Pattern>),
    ServerName(Values<Pattern>),
}

impl Condition {
    pub(super) fn holds(&self, widens: bool, request: &Request) -> bool {
        let client = &request.client;
        let destination = &request.destination;
        let identity = client.identity.as_ref();
        match self {
            Self::Nothing => !widens,
            Self::Header(field, values) => {
                let text = field.of(request);
                pair(values, |each| text.as_ref().is_some_and(|text| each.holds(text)))
            }
            Self::SourceIp(blocks) => pair(blocks, |block| block_contains(block, client.ip)),
            Self::RemoteIp(blocks) => pair(blocks, |block| block_contains(block, request.remote_ip)),
            Self::DestinationIp(blocks) => {
                pair(blocks, |block| destination.ip.is_some_and(|ip| block_contains(block, ip)))
            }
            Self::DestinationPort(ports) => pair(ports, |port| *port == destination.port),
            Self::SourceNamespace(values) => owned_pair(values, widens, request, |each| {
                identity.is_some_and(|identity| each.holds(identity.namespace()))
            }),
            Self::SourcePrincipal(values) => pair(values, |each| principal_matches(each, identity)),
            Self::SourceServiceAccount(values) => {
                owned_pair(values, widens, request, |each| is_account(each, request))
            }
            Self::SourceTrustDomain(values) => pair(values, |each| {
                identity.is_some_and(|identity| each.holds(identity.trust_domain().as_bytes()))
            }),
            Self::RequestPrincipal(values) => pair(values, |each| is_request_principal(each, request)),
            Self::Claim(path, values) => pair(values, |each| {
                let token = request.token.as_ref();
                token.is_some_and(|token| token.claim(path).any(|text| each.holds(text.as_bytes())))
            }),
            Self::ServerName(values) => pair(values, |each| {
                destination.server_name.as_ref().is_some_and(|name| each.holds(name.as_bytes()))
            }),
        }
    }
}
