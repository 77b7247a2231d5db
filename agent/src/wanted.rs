//! Which pods does this node have, and which of them are to be captured, and how?

use std::collections::{BTreeMap, BTreeSet};
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
pub fn wanted<'a>(objects: impl IntoIterator<Item = &'a Loaded> + Clone, node: &str) -> Pods {
    let namespaces: BTreeMap<&str, &Namespace> = objects
        .clone()
        .into_iter()
        .filter_map(|loaded| match &loaded.object {
            Object::Namespace(namespace) => Some((namespace.metadata.name.as_str(), &**namespace)),
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

/// The nodes that pods name, to tell who misspelt one which there are.
pub(crate) fn nodes(objects: &[Loaded]) -> BTreeSet<String> {
    let pods = objects.iter().filter_map(|loaded| match &loaded.object {
        Object::Pod(pod) => pod.node(),
        _ => None,
    });
    let names: BTreeSet<&str> = pods.collect();
    names.into_iter().map(str::to_owned).collect()
}

/// Whether an object has a part in what [`wanted`] says for a node.
pub(crate) fn concerns(loaded: &Loaded, node: &str) -> bool {
    match &loaded.object {
        Object::Namespace(_) => true,
        Object::Pod(pod) => pod.node() == Some(node),
        _ => false,
    }
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn pods(text: &str) -> Pods {
        let resources = ambit_kubernetes::read_text(Path::new("test.yaml"), text).unwrap();
        wanted(&resources.objects, "here")
    }

    fn pod(name: &str, metadata: &str, rest: &str) -> String {
        format!(
            "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n{metadata}spec: {{nodeName: here}}\n{rest}"
        )
    }

    const ENROLLED: &str = "  labels: {istio.io/dataplane-mode: ambient}\n";

    fn options_of(annotations: &str) -> (RedirectOptions, Vec<String>) {
        let metadata = format!("{ENROLLED}  annotations: {{{annotations}}}\n");
        let pods = pods(&pod("web", &metadata, ""));
        match &pods["shop/web"] {
            Wanted { membership: Membership::Enrolled(options), warnings, .. } => {
                (options.clone(), warnings.clone())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn pods_of_this_node_by_their_uid() {
        let text = pod("web", "  annotations: {ambit.mesh/netns: /run/netns/web}\n", "")
            + &pod("known", "  uid: known-1\n", "")
            + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: far, namespace: shop}\nspec: {nodeName: there}\n"
            + "---\napiVersion: v1\nkind: Pod\nmetadata: {name: unscheduled, namespace: shop}\n";
        let resources = ambit_kubernetes::read_text(Path::new("test.yaml"), &text).unwrap();
        assert_eq!(nodes(&resources.objects).into_iter().collect::<Vec<_>>(), ["here", "there"]);
        let pods = pods(&text);
        assert_eq!(pods.keys().collect::<Vec<_>>(), ["known-1", "shop/web"]);
        let web = &pods["shop/web"];
        assert_eq!(web.path.as_deref(), Some(Path::new("/run/netns/web")));
        assert_eq!(web.identity.service_account, "default");
        assert!(!web.is_enrolled());
        assert_eq!(web.name(), "shop/web");
    }

    #[test]
    fn the_namespaces_label_counts_when_the_pods_is_missing() {
        let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio.io/dataplane-mode: ambient}}\n";
        let out = "  labels: {istio.io/dataplane-mode: none}\n";
        let pods = pods(&(namespace.to_owned() + &pod("in", "", "") + &pod("out", out, "")));
        assert!(pods["shop/in"].is_enrolled());
        assert_eq!(pods["shop/out"].membership, Membership::Outside(NotEnrolledReason::OptedOut));
    }

    #[test]
    fn a_pod_that_ended_does_not_hide_its_successor() {
        let ended = pod("old", &format!("  uid: same\n{ENROLLED}"), "status: {phase: Failed}\n");
        let living = pod("new", &format!("  uid: same\n{ENROLLED}"), "");
        for text in [ended.clone() + &living, living + &ended] {
            assert_eq!(pods(&text)["same"].identity.name, "new");
        }
    }

    #[test]
    fn annotations_become_options() {
        let dns_off = RedirectOptions { dns: false, ..RedirectOptions::default() };
        assert_eq!(options_of(""), (dns_off.clone(), Vec::new()));
        let (options, warnings) = options_of("ambient.istio.io/bypass-inbound-capture: \"true\"");
        assert_eq!((options.ingress_mode, warnings.len()), (true, 0));
        let (options, warnings) = options_of("istio.io/reroute-virtual-interfaces: \"tap0, tap1,,tap0\"");
        let names: Vec<&str> = options.virtual_interfaces.iter().map(InterfaceName::as_str).collect();
        assert_eq!((names, warnings.len()), (vec!["tap0", "tap1"], 0));
        let (options, warnings) = options_of("ambient.istio.io/dns-capture: \"true\"");
        assert!(options.dns && warnings[0].contains("15053"), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_read_captures_and_is_said() {
        // A directory with such a boolean is refused as a whole; other sources may not be.
        let mut metadata = Metadata::default();
        for (key, value) in [
            (annotations::BYPASS_INBOUND_CAPTURE, "yes"),
            (annotations::DNS_CAPTURE, "on"),
            (annotations::REROUTE_VIRTUAL_INTERFACES, "eth0; drop"),
        ] {
            metadata.annotations = [(key.to_owned(), value.to_owned())].into();
            let mut warnings = Vec::new();
            let read = options(&metadata, &mut warnings);
            assert_eq!(read, RedirectOptions { dns: false, ..RedirectOptions::default() });
            assert_eq!(warnings.len(), 1, "{warnings:?}");
            assert!(warnings[0].contains(key) && warnings[0].contains(value));
        }
    }
}
