//! What is wrong with a PeerAuthentication, by the rules of Istio's validator.

use super::Complaints;
use super::scope::selector;
use crate::{FieldPath, PeerAuthenticationSpec};

pub(super) fn check(spec: &PeerAuthenticationSpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    if let Some(selected) = &spec.selector {
        selector(selected, &at.key("selector"), complaints);
    }
    let selects = spec.selector.as_ref().is_some_and(|selector| !selector.match_labels.is_empty());
    if !spec.port_level_mtls.is_empty() && !selects {
        let reason = "portLevelMtls is only possible for chosen workloads";
        complaints.add(&at.key("portLevelMtls"), reason, "set selector.matchLabels, or remove it");
    }
}
