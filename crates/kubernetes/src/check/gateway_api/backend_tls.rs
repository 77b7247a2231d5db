//! BackendTLSPolicies.

use super::present;
use super::references::{hostname, precise_hostname};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{BackendTLSPolicySpec, SanType, SubjectAltName};
use crate::problem::quoted;

pub(in crate::check) fn check(spec: &BackendTLSPolicySpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    if spec.target_refs.is_empty() {
        complaints.add(&at.key("targetRefs"), "the policy is attached to nothing", "name a Service");
    }
    for (index, target) in spec.target_refs.iter().enumerate() {
        let path = at.key("targetRefs").index(index);
        present(&target.kind, &path.key("kind"), complaints);
        present(&target.name, &path.key("name"), complaints);
    }
    let (validation, at) = (&spec.validation, at.key("validation"));
    complaints.expect(&at.key("hostname"), precise_hostname(&validation.hostname));
    let authorities =
        (validation.ca_certificate_refs.is_empty(), validation.well_known_ca_certificates.is_none());
    match authorities {
        (true, true) => {
            let reason = "nothing says which authorities are trusted";
            complaints.add(&at, reason, "set caCertificateRefs, or wellKnownCACertificates: System");
        }
        (false, false) => {
            let reason = "caCertificateRefs and wellKnownCACertificates exclude each other";
            complaints.add(&at, reason, "keep one of them");
        }
        _ => {}
    }
    for (index, name) in validation.subject_alt_names.iter().enumerate() {
        alternative(name, &at.key("subjectAltNames").index(index), complaints);
    }
}

fn alternative(name: &SubjectAltName, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let (field, value, other) = match name.kind {
        SanType::Hostname => ("hostname", &name.hostname, ("uri", &name.uri)),
        SanType::URI => ("uri", &name.uri, ("hostname", &name.hostname)),
    };
    if !other.1.is_empty() {
        complaints.add(&at.key(other.0), format!("{} does not go with this type", other.0), "remove it");
    }
    match name.kind {
        SanType::Hostname => complaints.expect(&at.key(field), hostname(value)),
        SanType::URI if !value.contains("://") || !value.bytes().all(|byte| byte.is_ascii_graphic()) => {
            let reason = format!("{} is not an absolute URI", quoted(value));
            complaints.add(&at.key(field), reason, "write one such as spiffe://DOMAIN/PATH");
        }
        SanType::URI => {}
    }
}
