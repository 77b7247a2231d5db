//! Does a rule hold? Some source, some operation, and all conditions.

use ambit_model::l7::matching::Values;
use ambit_model::policy::{ServiceAccount, StringMatch, block_contains};
use ipnet::IpNet;

use super::condition::Condition;
use super::pattern::{Namespace, Pattern, RequestPrincipal};
use super::template::Path;
use crate::matching::principal_matches;
use crate::request::canonical::Request;

/// A rule, ready for use.
#[derive(Debug)]
pub(super) enum Rule {
    /// A part of it cannot be read.
    Unreadable,
    Readable {
        from: Vec<Source>,
        to: Vec<Operation>,
        when: Vec<Condition>,
    },
}

/// Who asks. One without anything is what is left of a source that is not known.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Source {
    pub(super) principals: Values<StringMatch>,
    pub(super) request_principals: Values<RequestPrincipal>,
    pub(super) namespaces: Values<Namespace>,
    pub(super) service_accounts: Values<ServiceAccount>,
    pub(super) trust_domains: Values<Pattern>,
    pub(super) ip_blocks: Values<IpNet>,
    pub(super) remote_ip_blocks: Values<IpNet>,
}

/// What is asked. One without anything is what is left of an operation that is not known.
#[derive(Debug, PartialEq, Default)]
pub(super) struct Operation {
    pub(super) hosts: Values<Pattern>,
    pub(super) ports: Values<u16>,
    pub(super) methods: Values<Pattern>,
    pub(super) paths: Values<Path>,
}

impl Rule {
    /// Whether the rule holds. `widens`: what holds is let in by it (ALLOW), so that doubt must not hold.
    pub(super) fn holds(&self, widens: bool, request: &Request) -> bool {
        let Self::Readable { from, to, when } = self else { return !widens };
        (to.is_empty() || to.iter().any(|each| each.holds(widens, request)))
            && (from.is_empty() || from.iter().any(|each| each.holds(widens, request)))
            && when.iter().all(|each| each.holds(widens, request))
    }
}

impl Source {
    fn holds(&self, widens: bool, request: &Request) -> bool {
        if *self == Self::default() {
            return !widens;
        }
        let client = &request.client;
        let identity = client.identity.as_ref();
        pair(&self.principals, |each| principal_matches(each, identity))
            && pair(&self.trust_domains, |each| {
                identity.is_some_and(|identity| each.holds(identity.trust_domain().as_bytes()))
            })
            && owned_pair(&self.namespaces, widens, request, |each| {
                identity.is_some_and(|identity| each.holds(identity.namespace()))
            })
            && owned_pair(&self.service_accounts, widens, request, |each| is_account(each, request))
            && pair(&self.ip_blocks, |block| block_contains(block, client.ip))
            && pair(&self.remote_ip_blocks, |block| block_contains(block, request.remote_ip))
            && pair(&self.request_principals, |each| is_request_principal(each, request))
    }
}

impl Operation {
    fn holds(&self, widens: bool, request: &Request) -> bool {
        if *self == Self::default() {
            return !widens;
        }
        pair(&self.ports, |port| *port == request.destination.port)
            && pair(&self.methods, |each| each.holds(request.method.as_str().as_bytes()))
            && pair(&self.hosts, |each| each.holds(request.authority().as_str().as_bytes()))
            && pair(&self.paths, |each| each.holds(request.path()))
    }
}

/// Whether one of the positive values holds, if there are any, and none of the negative.
pub(super) fn pair<T>(values: &Values<T>, hit: impl Fn(&T) -> bool) -> bool {
    (values.any.is_empty() || values.any.iter().any(&hit)) && !values.none.iter().any(&hit)
}

/// [`pair`] for names that belong to a trust domain: an identity of another one has no hit where a hit would widen
/// access.
pub(super) fn owned_pair<T>(
    values: &Values<T>,
    widens: bool,
    request: &Request,
    hit: impl Fn(&T) -> bool,
) -> bool {
    let foreign = request.client.foreign;
    let demanded = |each: &T| hit(each) && !(foreign && widens);
    let excepted = |each: &T| hit(each) && (!foreign || widens);
    (values.any.is_empty() || values.any.iter().any(demanded)) && !values.none.iter().any(excepted)
}

pub(super) fn is_account(account: &ServiceAccount, request: &Request) -> bool {
    request.client.identity.as_ref().is_some_and(|identity| {
        account.namespace == *identity.namespace() && account.name == *identity.service_account()
    })
}

pub(super) fn is_request_principal(each: &RequestPrincipal, request: &Request) -> bool {
    let principal = request.token.as_ref().and_then(|token| token.principal());
    principal.is_some_and(|(issuer, subject)| each.holds(issuer, subject))
}
