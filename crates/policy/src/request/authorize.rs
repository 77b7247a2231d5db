//! May this request pass? Istio's AuthorizationPolicy with `targetRefs`, for requests.
//!
//! Policies count in the order CUSTOM ([`PolicySet::providers`], before the token is looked at, so that what they ask about
//! it counts as true), AUDIT, DENY, ALLOW ([`PolicySet::judge`]). Any DENY that matches refuses; without ALLOW policies the rest may pass; otherwise one of them
//! must match.
//!
//! What cannot be read never widens: a policy denies as a whole, a rule never allows and always denies, asks or is
//! audited. As for connections ([`crate::authorize`]), namespaces and service accounts belong to the mesh's trust
//! domain and its other names: an identity of another one never gains by them.

mod compile;
mod condition;
mod matching;
mod pattern;
mod streams;
mod template;

use ambit_model::Text;
use ambit_model::l7::policy::{PolicyAction, RequestPolicy};
use ambit_model::l7::{MeshConfig, Unreadable};
use smallvec::SmallVec;

use super::canonical::Request;
use super::scope::kind;
use crate::verdict::{DenyReason, DryRun, DryRunOutcome, Matched, Verdict};
use compile::without_token;
use matching::Rule;

/// How many ALLOW policies a refusal names.
const NAMED: usize = 4;

/// What policies say about a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is enforced.
    pub verdict: Verdict,
    /// AUDIT policies that match; to be logged.
    pub audited: SmallVec<[Matched; 2]>,
    /// What dry-run policies would have done; to be logged, never enforced.
    pub dry_run: SmallVec<[DryRun; 2]>,
}

/// A policy, ready for use.
#[derive(Debug)]
struct Policy {
    /// `<namespace>/<name>`.
    key: Text,
    dry_run: bool,
    rules: Vec<Rule>,
}

impl Policy {
    fn matching_rule(&self, widens: bool, request: &Request) -> Option<Matched> {
        let rule = self.rules.iter().position(|rule| rule.holds(widens, request))?;
        Some(Matched { policy: self.key.clone(), rule })
    }
}

/// A policy that cannot be read.
#[derive(Debug)]
struct Unusable {
    key: Text,
    dry_run: bool,
    why: Text,
}

/// The policies that apply in one place, compiled.
#[derive(Debug, Default)]
pub struct PolicySet {
    custom: Vec<(Text, Policy)>,
    audit: Vec<Policy>,
    deny: Vec<Policy>,
    allow: Vec<Policy>,
    unusable: Vec<Unusable>,
}

impl PolicySet {
    /// Compiles policies that apply in one place ([`super::Scope`]), and those that apply there and cannot be read.
    pub fn compile<'a>(
        policies: impl IntoIterator<Item = &'a RequestPolicy>,
        unreadable: impl IntoIterator<Item = &'a Unreadable>,
        mesh: &MeshConfig,
    ) -> Self {
        let mut set = Self::default();
        for policy in policies {
            let key: Text = format!("{}/{}", policy.key.namespace, policy.key.name).into();
            let dry_run = policy.dry_run;
            if let Some(why) = &policy.unusable {
                set.unusable.push(Unusable { key, dry_run, why: why.clone() });
                continue;
            }
            let external = matches!(policy.action, PolicyAction::Custom(_));
            let rules = policy.rules.iter().map(|rule| match external {
                true => Rule::compile(&without_token(rule), mesh),
                false => Rule::compile(rule, mesh),
            });
            let rules = rules.collect();
            let compiled = Policy { key, dry_run, rules };
            match &policy.action {
                PolicyAction::Custom(provider) => set.custom.push((provider.clone(), compiled)),
                PolicyAction::Audit => set.audit.push(compiled),
                PolicyAction::Deny => set.deny.push(compiled),
                PolicyAction::Allow => set.allow.push(compiled),
            }
        }
        for each in unreadable.into_iter().filter(|each| kind(each) == "AuthorizationPolicy") {
            let key = each.name.split_once('/').map_or(&*each.name, |(_, key)| key).into();
            set.unusable.push(Unusable { key, dry_run: false, why: each.reason.clone() });
        }
        set
    }

    /// The same for connections whose bytes are no requests: judged as [`Request::of_stream`].
    pub fn compile_streams<'a>(
        policies: impl IntoIterator<Item = &'a RequestPolicy>,
        unreadable: impl IntoIterator<Item = &'a Unreadable>,
        mesh: &MeshConfig,
    ) -> Self {
        let policies: Vec<RequestPolicy> = policies.into_iter().map(streams::for_streams).collect();
        let unreadable: Vec<&Unreadable> = unreadable.into_iter().collect();
        Self::compile(&policies, unreadable, mesh)
    }

    /// Whether no policy applies.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty()
            && self.audit.is_empty()
            && self.deny.is_empty()
            && self.allow.is_empty()
            && self.unusable.is_empty()
    }

    /// The external services that decide about a request, each once, with the first policy that asks it. Any of them may
    /// deny.
    pub fn providers(&self, request: &Request) -> SmallVec<[(Text, Matched); 1]> {
        let mut providers: SmallVec<[(Text, Matched); 1]> = SmallVec::new();
        for (provider, policy) in self.custom.iter().filter(|(_, policy)| !policy.dry_run) {
            if !providers.iter().any(|(known, _)| known == provider)
                && let Some(matched) = policy.matching_rule(false, request)
            {
                providers.push((provider.clone(), matched));
            }
        }
        providers
    }

    /// What AUDIT, DENY and ALLOW policies say.
    pub fn judge(&self, request: &Request) -> Judgement {
        let audits = self.audit.iter().filter(|policy| !policy.dry_run);
        let audited = audits.filter_map(|policy| policy.matching_rule(false, request)).collect();
        let mut dry_run = SmallVec::new();
        let verdict = match self.refuse(request, &mut dry_run) {
            Some(reason) => Verdict::Deny { reason },
            None => self.allow(request, &mut dry_run),
        };
        Judgement { verdict, audited, dry_run }
    }

    /// The DENY half: an explicit match is the clearest reason, then what cannot be read.
    fn refuse(&self, request: &Request, dry_run: &mut SmallVec<[DryRun; 2]>) -> Option<DenyReason> {
        for policy in &self.deny {
            let Some(matched) = policy.matching_rule(false, request) else { continue };
            if !policy.dry_run {
                return Some(DenyReason::ExplicitDeny(matched));
            }
            dry_run
                .push(DryRun { policy: matched.policy, outcome: DryRunOutcome::DenyMatched(matched.rule) });
        }
        let mut reason = None;
        for Unusable { key, dry_run: dry, why } in &self.unusable {
            if *dry {
                dry_run.push(DryRun { policy: key.clone(), outcome: DryRunOutcome::Unusable(why.clone()) });
            } else if reason.is_none() {
                reason = Some(DenyReason::PolicyUnusable { policy: key.clone(), why: why.clone() });
            }
        }
        reason
    }

    /// The ALLOW half, for a request that nothing denies.
    fn allow(&self, request: &Request, dry_run: &mut SmallVec<[DryRun; 2]>) -> Verdict {
        for policy in self.allow.iter().filter(|policy| policy.dry_run) {
            let matched = policy.matching_rule(true, request);
            let outcome =
                matched.map_or(DryRunOutcome::AllowNotMatched, |each| DryRunOutcome::AllowMatched(each.rule));
            dry_run.push(DryRun { policy: policy.key.clone(), outcome });
        }
        let enforced = || self.allow.iter().filter(|policy| !policy.dry_run);
        let matched = enforced().find_map(|policy| policy.matching_rule(true, request));
        let count = enforced().count();
        if matched.is_some() || count == 0 {
            return Verdict::Allow { policy: matched };
        }
        let first = enforced().take(NAMED).map(|policy| policy.key.clone()).collect();
        Verdict::Deny { reason: DenyReason::NoAllowMatched { first, count } }
    }
}

#[cfg(test)]
mod tests;
