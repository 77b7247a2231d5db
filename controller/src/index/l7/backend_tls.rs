//! BackendTLSPolicies: TLS to the application.

use std::collections::{BTreeMap, BTreeSet};

use ambit_kubernetes::gateway_api::{BackendTLSPolicy, PolicyTarget, SanType};
use ambit_model::Text;
use ambit_model::l7::destination_rule::{TrafficPolicy, UpstreamTls};
use ambit_model::l7::{DestinationRule, ObjectKind};
use ambit_model::service::ServiceKey;

use super::{Author, View};
use crate::index::condition::unmet;

/// A Service, or one port of it.
type Claim = (ServiceKey, Option<u16>);

/// One rule for each Service of each policy. Of two policies for one Service or port the older counts.
pub(super) fn rules(view: &View<'_>, notes: &mut Vec<String>) -> Vec<DestinationRule> {
    let mut policies: Vec<_> = view.objects.gateway_api.backend_tls.iter().collect();
    policies.sort_by_key(|policy| {
        let metadata = &policy.metadata;
        (metadata.creation_timestamp, metadata.namespace.clone(), metadata.name.clone())
    });
    let mut taken = BTreeSet::new();
    policies.into_iter().flat_map(|policy| of(policy, view, &mut taken, notes)).collect()
}

fn of(
    written: &BackendTLSPolicy,
    view: &View<'_>,
    taken: &mut BTreeSet<Claim>,
    notes: &mut Vec<String>,
) -> Vec<DestinationRule> {
    let author = Author { kind: ObjectKind::BackendTLSPolicy, metadata: &written.metadata };
    let tls = tls(written);
    if let Some(reason) = &tls.invalid {
        notes.push(unmet(&author, "ResolvedRefs", "InvalidCACertificateRef", reason));
    }
    let mut rules: BTreeMap<ServiceKey, DestinationRule> = BTreeMap::new();
    for target in &written.spec.target_refs {
        let claim = match claim(target, &author, view) {
            Ok(claim) => claim,
            Err((reason, text)) => {
                notes.push(unmet(&author, "Accepted", reason, text));
                continue;
            }
        };
        if !taken.insert(claim.clone()) {
            let text = format!("Service {} has an older policy", target.name);
            notes.push(unmet(&author, "Accepted", "Conflicted", text));
            continue;
        }
        let (service, port) = claim;
        let rule = rules.entry(service.clone()).or_insert_with(|| empty(&author, &service));
        let policy = TrafficPolicy { tls: Some(tls.clone()), ..TrafficPolicy::default() };
        match port {
            Some(port) => rule.ports.push((port, policy)),
            None => rule.policy = policy,
        }
    }
    let several = rules.len() > 1;
    let named = |(service, mut rule): (ServiceKey, DestinationRule)| {
        if several {
            rule.key.name = format!("{}/{}", rule.key.name, service.hostname).into();
        }
        rule
    };
    rules.into_iter().map(named).collect()
}

fn claim(
    target: &PolicyTarget,
    author: &Author<'_>,
    view: &View<'_>,
) -> Result<Claim, (&'static str, String)> {
    let namespace = author.metadata.namespace.as_str();
    if !["", "core"].contains(&target.group.as_str()) || target.kind != "Service" {
        let text = format!("{} {} is no target here; use a Service", target.kind, target.name);
        return Err(("Invalid", text));
    }
    let Some(service) = view.service_of(namespace, &target.name) else {
        return Err(("TargetNotFound", format!("Service {} does not exist", target.name)));
    };
    let port = match &target.section_name {
        None => None,
        Some(section) => {
            let port = view.objects.port_named(namespace, &target.name, section);
            let text = || format!("Service {} has no port named {section:?}", target.name);
            Some(port.ok_or_else(|| ("TargetNotFound", text()))?)
        }
    };
    Ok((service.key.clone(), port))
}

fn tls(written: &BackendTLSPolicy) -> UpstreamTls {
    let validation = &written.spec.validation;
    let name = |san: &ambit_kubernetes::gateway_api::SubjectAltName| match san.kind {
        SanType::Hostname => Text::from(san.hostname.as_str()),
        SanType::URI => san.uri.as_str().into(),
    };
    let unread = validation.ca_certificate_refs.first().map(|reference| {
        let text = "cannot be read here, so requests are answered 503; use wellKnownCACertificates: System";
        format!("{} {} {text}", reference.kind, reference.name).into()
    });
    UpstreamTls {
        server_name: Some(validation.hostname.as_str().into()),
        names: validation.subject_alt_names.iter().map(name).collect(),
        invalid: unread,
        ..UpstreamTls::default()
    }
}

fn empty(author: &Author<'_>, service: &ServiceKey) -> DestinationRule {
    DestinationRule {
        key: author.key(),
        created: author.created(),
        host: service.hostname.clone(),
        visible_to: Vec::new(),
        policy: TrafficPolicy::default(),
        ports: Vec::new(),
        subsets: Vec::new(),
        invalid: None,
    }
}
