//! PeerAuthentications: where plaintext is refused, as DENY policies for peers without identity.

use std::collections::HashMap;

use ambit_kubernetes::{MtlsMode, PeerAuthentication, Pod};
use ambit_model::policy::{Action, Clause, Match, Rule, Scope, StringMatch};
use ambit_model::{Policy, Text};

use super::objects::Objects;

/// The policy of every workload that takes no plaintext at all, in the root namespace. `_` is in no Kubernetes name.
const STATIC_STRICT: &str = "istio_converted_static_strict";

/// What the name of a PeerAuthentication with exceptions for ports is prefixed with.
const CONVERTED: &str = "converted_peer_authentication_";

/// What holds for each workload.
#[derive(Debug)]
pub(super) struct Effective {
    strict: Text,
    root: String,
    mesh: bool,
    /// Namespaces that say otherwise than the mesh.
    namespaces: HashMap<String, bool>,
    /// Those with selectors, oldest first, by namespace.
    selecting: HashMap<String, Vec<Selecting>>,
}

#[derive(Debug)]
struct Selecting {
    policy: PeerAuthentication,
    outcome: Outcome,
}

/// What a PeerAuthentication with a selector comes to.
#[derive(Debug)]
enum Outcome {
    Strict,
    Permissive,
    /// Different on some ports.
    Ports(Box<Policy>),
}

impl Effective {
    pub(super) fn new(objects: &Objects, notes: &mut Vec<String>) -> Self {
        let mut ordered: Vec<_> = objects.authentication.iter().map(|policy| &**policy).collect();
        // The oldest wins. One written by hand has no age and comes first, as an unset time does in Kubernetes.
        ordered.sort_by_key(|policy| {
            let metadata = &policy.metadata;
            (metadata.creation_timestamp, &metadata.namespace, &metadata.name)
        });
        let root = objects.mesh.root_namespace.clone();
        let mut effective = Self {
            strict: format!("{root}/{STATIC_STRICT}").into(),
            mesh: false,
            namespaces: HashMap::new(),
            selecting: HashMap::new(),
            root,
        };
        let (wide, selecting): (Vec<_>, Vec<_>) = ordered.into_iter().partition(|policy| is_wide(policy));
        effective.add_wide(&wide, notes);
        for policy in selecting {
            effective.add_selecting(policy, notes);
        }
        effective
    }

    fn add_wide(&mut self, ordered: &[&PeerAuthentication], notes: &mut Vec<String>) {
        let mut scopes: HashMap<&str, MtlsMode> = HashMap::new();
        for policy in ordered {
            let namespace = policy.metadata.namespace.as_str();
            if scopes.contains_key(namespace) {
                notes.push(note(policy, "it has no effect: an older one holds for the same namespace"));
            } else {
                scopes.insert(namespace, mode(policy));
            }
        }
        for (namespace, mode) in scopes {
            match strict(mode) {
                Some(strict) if namespace == self.root => self.mesh = strict,
                Some(strict) => {
                    self.namespaces.insert(namespace.to_owned(), strict);
                }
                None => {}
            }
        }
    }

    fn add_selecting(&mut self, policy: &PeerAuthentication, notes: &mut Vec<String>) {
        let namespace = policy.metadata.namespace.as_str();
        if namespace == self.root {
            notes.push(note(policy, "it has no effect: in the root namespace a selector selects nothing"));
            return;
        }
        let outcome = self.outcome(policy);
        let selecting = Selecting { policy: policy.clone(), outcome };
        self.selecting.entry(namespace.to_owned()).or_default().push(selecting);
    }

    fn inherited(&self, namespace: &str) -> bool {
        self.namespaces.get(namespace).copied().unwrap_or(self.mesh)
    }

    fn outcome(&self, policy: &PeerAuthentication) -> Outcome {
        let namespace = policy.metadata.namespace.as_str();
        let default = strict(mode(policy)).unwrap_or_else(|| self.inherited(namespace));
        let exceptions: Vec<u16> = policy
            .spec
            .port_level_mtls
            .iter()
            .filter(|(_, mtls)| strict(mtls.mode).is_some_and(|strict| strict != default))
            .map(|(port, _)| *port)
            .collect();
        match (default, exceptions.is_empty()) {
            (true, true) => Outcome::Strict,
            (false, true) => Outcome::Permissive,
            (strict, false) => Outcome::Ports(Box::new(by_port(policy, strict, exceptions))),
        }
    }

    /// The keys of the policies for a pod: one at most.
    pub(super) fn keys(&self, pod: &Pod) -> Option<Text> {
        let namespace = pod.metadata.namespace.as_str();
        let mut candidates = self.selecting.get(namespace).into_iter().flatten();
        let picks = |candidate: &&Selecting| {
            let selector = candidate.policy.spec.selector.as_ref();
            selector.is_some_and(|selector| selector.matches(&pod.metadata.labels))
        };
        match candidates.find(picks).map(|candidate| &candidate.outcome) {
            Some(Outcome::Strict) => Some(self.strict.clone()),
            Some(Outcome::Permissive) => None,
            Some(Outcome::Ports(policy)) => Some(policy.key.clone()),
            None => self.inherited(namespace).then(|| self.strict.clone()),
        }
    }

    /// The policies that pods may list. The static one is always there, so that no pod ever waits for it.
    pub(super) fn policies(&self) -> impl Iterator<Item = Policy> + '_ {
        let by_port = self.selecting.values().flatten().filter_map(|selecting| match &selecting.outcome {
            Outcome::Ports(policy) => Some((**policy).clone()),
            Outcome::Strict | Outcome::Permissive => None,
        });
        let everywhere = vec![Clause { matches: vec![without_identity()] }];
        by_port.chain([deny(self.strict.clone(), &self.root, everywhere)])
    }
}

/// Two DENY policies cannot except each other, so one says all: no peer without identity, on all ports but the
/// exceptions or on the exceptions only.
fn by_port(policy: &PeerAuthentication, strict: bool, exceptions: Vec<u16>) -> Policy {
    let (namespace, name) = (policy.metadata.namespace.as_str(), &policy.metadata.name);
    let ports = if strict {
        Match { not_destination_ports: exceptions, ..Match::default() }
    } else {
        Match { destination_ports: exceptions, ..Match::default() }
    };
    let clauses = vec![Clause { matches: vec![without_identity()] }, Clause { matches: vec![ports] }];
    deny(format!("{namespace}/{CONVERTED}{name}").into(), namespace, clauses)
}

fn deny(key: Text, namespace: &str, clauses: Vec<Clause>) -> Policy {
    Policy {
        key,
        namespace: namespace.into(),
        scope: Scope::WorkloadSelector,
        action: Action::Deny,
        rules: vec![Rule { clauses, undecodable: None }],
        dry_run: false,
        unusable: None,
    }
}

fn without_identity() -> Match {
    Match { not_principals: vec![StringMatch::Presence], ..Match::default() }
}

/// Whether it holds for a whole namespace, or the mesh.
fn is_wide(policy: &PeerAuthentication) -> bool {
    policy.spec.selector.as_ref().is_none_or(|selector| selector.match_labels.is_empty())
}

fn mode(policy: &PeerAuthentication) -> MtlsMode {
    policy.spec.mtls.map(|mtls| mtls.mode).unwrap_or_default()
}

/// Whether a mode refuses plaintext; `None` for what the wider scope says. Without sidecars nothing can be disabled.
fn strict(mode: MtlsMode) -> Option<bool> {
    match mode {
        MtlsMode::Unset => None,
        MtlsMode::Disable | MtlsMode::Permissive => Some(false),
        MtlsMode::Strict => Some(true),
    }
}

fn note(policy: &PeerAuthentication, text: &str) -> String {
    format!("PeerAuthentication {}/{}: {text}", policy.metadata.namespace, policy.metadata.name)
}
