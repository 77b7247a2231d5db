//! Where policies hold: selectors, and targets instead of them.

use super::Complaints;
use crate::problem::quoted;
use crate::{FieldPath, TargetRef, WorkloadSelector};

/// Most targets that a policy may have.
const MOST_TARGETS: usize = 16;

/// How a policy says where it holds.
pub(super) struct Scope<'a> {
    pub(super) selector: Option<&'a WorkloadSelector>,
    pub(super) target_refs: &'a [TargetRef],
    pub(super) target_ref: Option<&'a TargetRef>,
}

pub(super) fn scope(written: &Scope<'_>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let ways = [written.selector.is_some(), written.target_ref.is_some(), !written.target_refs.is_empty()];
    if ways.into_iter().filter(|used| *used).count() > 1 {
        let reason = "only one of selector, targetRef and targetRefs can be set";
        complaints.add(at, reason, "keep the one that you mean");
    }
    if let Some(selected) = written.selector {
        selector(selected, &at.key("selector"), complaints);
    }
    if written.target_refs.len() > MOST_TARGETS {
        let reason = format!("more than {MOST_TARGETS} targets");
        complaints.add(&at.key("targetRefs"), reason, "split the policy");
    }
    for (index, target) in written.target_refs.iter().enumerate() {
        target_ref(target, &at.key("targetRefs").index(index), complaints);
    }
    if let Some(target) = written.target_ref {
        target_ref(target, &at.key("targetRef"), complaints);
    }
}

/// A workload selector: keys are not empty, and nothing is a wildcard.
pub(super) fn selector(selector: &WorkloadSelector, at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (key, value) in &selector.match_labels {
        let path = at.key("matchLabels").key(key);
        if key.is_empty() {
            complaints.add(&path, "an empty label key", "name a label");
        }
        if key.contains('*') || value.contains('*') {
            complaints.add(&path, "wildcards are not supported in selectors", "write the whole label");
        }
    }
}

fn target_ref(target: &TargetRef, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let known = matches!(
        (target.group.as_str(), target.kind.as_str()),
        ("gateway.networking.k8s.io", "Gateway" | "GatewayClass")
            | ("" | "core", "Service")
            | ("networking.istio.io", "ServiceEntry")
    );
    if !known {
        let reason =
            format!("group {} kind {} cannot be a target", quoted(&target.group), quoted(&target.kind));
        complaints.add(
            at,
            reason,
            "use a Gateway or GatewayClass (gateway.networking.k8s.io), a Service or a ServiceEntry",
        );
    }
    if target.name.is_empty() {
        complaints.add(&at.key("name"), "the target has no name", "set name");
    }
    if !target.namespace.is_empty() {
        let reason = "targets in other namespaces are not allowed";
        complaints.add(
            &at.key("namespace"),
            reason,
            "remove it, and put the policy into the target's namespace",
        );
    }
}
