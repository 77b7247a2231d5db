//! Which pods does this node have, and which of them are to be captured, and how?

use std::collections::BTreeMap;
use std::path::PathBuf;

use ambit_kubernetes::{
    Enrolment, Loaded, Metadata, Namespace, NotEnrolledReason, Object, Pod, annotations, enrolled,
};
use ambit_netns::InterfaceName;
use ambit_netns::rules::RedirectOptions;
use ambit_zds::WorkloadIdentity;

/// The pods of the node by uid ([`Pod::uid`]).
pub type Pods = BTreeMap<String, Wanted>;

/// One pod as the resources want it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which workload it is.
    pub identity: WorkloadIdentity,
    /// Where its network namespace is, when the annotation `ambit.mesh/netns` says so.
    pub path: Option<PathBuf>,
    /// Whether it is captured.
    pub membership: Membership,
    /// What its annotations ask for and do not get.
    pub warnings: Vec<String>,
}

/// Whether a pod is captured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Membership {
    /// It is, with these options.
    Enrolled(RedirectOptions),
    /// It is not.
    Outside(NotEnrolledReason),
}

impl Wanted {
    /// `namespace/name`
    pub fn name(&self) -> String {
        format!("{}/{}", self.identity.namespace, self.identity.name)
    }

    /// Whether it is to be captured.
    pub fn is_enrolled(&self) -> bool {
        matches!(self.membership, Membership::Enrolled(_))
    }
}

/// The pods whose `spec.nodeName` is `node`.
pub fn wanted(objects: &[Loaded], node: &str) -> Pods {
    let namespaces: BTreeMap<&str, &Namespace> = objects
        .iter()
        .filter_map(|loaded| match &loaded.object {
            Object::Namespace(namespace) => Some((namespace.metadata.name.as_str(), namespace)),
            _ => None,
        })
        .collect();
    let mut pods = Pods::new();
    for loaded in objects {
        let Object::Pod(pod) = &loaded.object else { continue };
        // A pod that has ended may share its uid with the one that took its place.
        if pod.node() == Some(node) && !(pod.is_terminal() && pods.contains_key(&pod.uid())) {
            let namespace = namespaces.get(pod.metadata.namespace.as_str()).copied();
            pods.insert(pod.uid(), one(pod, namespace));
        }
    }
    pods
}

fn one(pod: &Pod, namespace: Option<&Namespace>) -> Wanted {
    let mut warnings = Vec::new();
    let membership = match enrolled(pod, namespace) {
        Enrolment::Enrolled => Membership::Enrolled(options(&pod.metadata, &mut warnings)),
        Enrolment::NotEnrolled(reason) => Membership::Outside(reason),
    };
    Wanted {
        identity: WorkloadIdentity {
            name: pod.metadata.name.clone(),
            namespace: pod.metadata.namespace.clone(),
            service_account: pod.service_account().to_owned(),
        },
        path: pod.netns().map(PathBuf::from),
        membership,
        warnings,
    }
}

/// What is unreadable captures as if it were not there: nothing unknown lets traffic by.
fn options(metadata: &Metadata, warnings: &mut Vec<String>) -> RedirectOptions {
    let mut flag = |key: &str| match metadata.annotation(key) {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            warnings
                .push(format!("annotation {key}: {other:?} is neither true nor false; it counts as false"));
            false
        }
    };
    let ingress_mode = flag(annotations::BYPASS_INBOUND_CAPTURE);
    let dns = flag(annotations::DNS_CAPTURE);
    if dns {
        warnings.push(format!(
            "annotation {}: DNS goes to port 15053, where this mesh's ztunnel does not answer yet; remove it unless another ztunnel does",
            annotations::DNS_CAPTURE
        ));
    }
    let mut virtual_interfaces: Vec<InterfaceName> = Vec::new();
    let listed = metadata.annotation(annotations::REROUTE_VIRTUAL_INTERFACES).unwrap_or("");
    for name in listed.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.parse() {
            Ok(interface) if virtual_interfaces.contains(&interface) => {}
            Ok(interface) => virtual_interfaces.push(interface),
            Err(error) => warnings.push(format!(
                "annotation {}: {error}; it is left out",
                annotations::REROUTE_VIRTUAL_INTERFACES
            )),
        }
    }
    RedirectOptions { dns, ingress_mode, virtual_interfaces, ..RedirectOptions::default() }
}
