//! May this connection reach this workload? L4 authorization as Istio's ztunnel does it, closed where that is open.
//!
//! Policies of the mesh, of the destination's namespace and those listed on the workload apply. Any DENY that matches
//! refuses; without ALLOW policies the rest may pass; otherwise one of them must match.
//!
//! Where this is narrower than Istio's, and never wider:
//! - a listed policy that is not known yet denies (`POLICY_PENDING`) instead of being skipped;
//! - a policy that could not be understood denies, unless it is a dry run;
//! - a rule that could not be understood, or a match without attributes (what an attribute that we do not know
//!   leaves behind), never allows and always denies;
//! - namespaces and service accounts belong to a trust domain: `shop` of another trust domain is not `shop`. A peer of
//!   a trust domain other than the destination's never gains by one of these attributes: it does not hit what an
//!   ALLOW demands or a DENY spares, and it still hits what a DENY names or an ALLOW excepts.
//!
//! As in Istio, principals are written without `spiffe://`; a pattern with the scheme matches nobody. Accepting it
//! would let an ALLOW pass what Istio refuses.

use std::sync::Arc;

use ambit_model::policy::{Action, Policy, Scope};
use ambit_model::traffic::Connection;
use ambit_model::{Snapshot, Workload};
use smallvec::SmallVec;

use crate::matching::{Facts, matching_rule};
use crate::verdict::{Decision, DenyReason, DryRun, DryRunOutcome, Matched, Verdict};

/// How many ALLOW policies a refusal names.
const NAMED: usize = 4;

/// Decides about a connection to `destination`.
///
/// `destination` should be the workload as `snapshot` has it now: its list of policies and its trust domain count.
/// Live connections are judged again by calling this with the next snapshot.
pub fn authorize(snapshot: &Snapshot, destination: &Workload, connection: &Connection) -> Decision {
    let facts = Facts::new(destination, connection);
    let mut dry_run = SmallVec::new();
    let refusal = refuse(snapshot, destination, &facts, &mut dry_run);
    let verdict = match refusal {
        Some(reason) => Verdict::Deny { reason },
        None => allow(snapshot, destination, &facts, &mut dry_run),
    };
    Decision { verdict, dry_run }
}

/// The DENY half: an explicit match is the clearest reason, then what is unusable, then what is pending.
fn refuse(
    snapshot: &Snapshot,
    destination: &Workload,
    facts: &Facts<'_>,
    dry_run: &mut SmallVec<[DryRun; 2]>,
) -> Option<DenyReason> {
    let mut unusable = None;
    for policy in applying(snapshot, destination) {
        if let Some(why) = &policy.unusable {
            if policy.dry_run {
                let outcome = DryRunOutcome::Unusable(why.clone());
                dry_run.push(DryRun { policy: policy.key.clone(), outcome });
            } else if unusable.is_none() {
                unusable = Some(DenyReason::PolicyUnusable { policy: policy.key.clone(), why: why.clone() });
            }
        } else if policy.action == Action::Deny
            && let Some(rule) = matching_rule(policy, facts)
        {
            let policy_key = policy.key.clone();
            if !policy.dry_run {
                return Some(DenyReason::ExplicitDeny(Matched { policy: policy_key, rule }));
            }
            dry_run.push(DryRun { policy: policy_key, outcome: DryRunOutcome::DenyMatched(rule) });
        }
    }
    unusable.or_else(|| {
        let pending = destination.policies.iter().find(|key| snapshot.policy(key).is_none());
        pending.map(|key| DenyReason::PolicyPending { policy: key.clone() })
    })
}

/// The ALLOW half, for a connection that nothing denies.
fn allow(
    snapshot: &Snapshot,
    destination: &Workload,
    facts: &Facts<'_>,
    dry_run: &mut SmallVec<[DryRun; 2]>,
) -> Verdict {
    let usable = |policy: &&Arc<Policy>| policy.action == Action::Allow && policy.unusable.is_none();
    let mut considered = 0;
    let mut matched = None;
    for policy in applying(snapshot, destination).filter(usable) {
        if policy.dry_run {
            let rule = matching_rule(policy, facts);
            let outcome = rule.map_or(DryRunOutcome::AllowNotMatched, DryRunOutcome::AllowMatched);
            dry_run.push(DryRun { policy: policy.key.clone(), outcome });
        } else if matched.is_none() {
            considered += 1;
            matched = matching_rule(policy, facts).map(|rule| Matched { policy: policy.key.clone(), rule });
        }
    }
    if considered == 0 || matched.is_some() {
        return Verdict::Allow { policy: matched };
    }
    let enforced = applying(snapshot, destination).filter(usable).filter(|policy| !policy.dry_run);
    let first = enforced.take(NAMED).map(|policy| policy.key.clone()).collect();
    Verdict::Deny { reason: DenyReason::NoAllowMatched { first, count: considered } }
}

/// The known policies that apply to a workload: the mesh's, its namespace's, then those it lists; each once.
fn applying<'a>(
    snapshot: &'a Snapshot,
    destination: &'a Workload,
) -> impl Iterator<Item = &'a Arc<Policy>> + 'a {
    let namespace = &*destination.namespace;
    let of_namespace: &[_] = if namespace.is_empty() { &[] } else { snapshot.policies_of(namespace) };
    let selected = move |policy: &&Arc<Policy>| match policy.scope {
        Scope::Global => false,
        Scope::Namespace => *policy.namespace != *namespace,
        Scope::WorkloadSelector => true,
    };
    let listed = destination.policies.iter().filter_map(|key| snapshot.policy(key)).filter(selected);
    snapshot.policies_of("").iter().chain(of_namespace).chain(listed)
}
