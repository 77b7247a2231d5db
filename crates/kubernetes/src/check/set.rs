//! What is wrong between objects: the same name, address, uid or network namespace twice, or no Namespace.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::{DEFAULT_NAMESPACE, FieldPath, Kind, Loaded, Object, Pod, Problem, ROOT_NAMESPACE};

/// Everything that is wrong between the objects of a set; each complaint names the places of both.
///
/// Checked: kind, namespace and name are unique; every namespace has its Namespace object ([`DEFAULT_NAMESPACE`] and
/// [`ROOT_NAMESPACE`] need none); no two live pods share an address, a uid or a network namespace (pods on the host's
/// network share its address); no two Services share a virtual address.
pub fn validate_set(objects: &[Loaded]) -> Vec<Problem> {
    let mut problems = Vec::new();
    duplicates(objects, &mut problems);
    namespaces(objects, &mut problems);
    pods(objects, &mut problems);
    services(objects, &mut problems);
    problems
}

/// Remembers who was first to have a value.
struct Owners<'a, K>(HashMap<K, &'a Loaded>);

impl<'a, K: Hash + Eq> Owners<'a, K> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// The object that has the value already, unless it is this one.
    fn claim(&mut self, value: K, by: &'a Loaded) -> Option<&'a Loaded> {
        let first = *self.0.entry(value).or_insert(by);
        (!std::ptr::eq(first, by)).then_some(first)
    }
}

fn place(loaded: &Loaded) -> String {
    format!("{} ({}:{})", loaded.object, loaded.file.display(), loaded.line)
}

fn duplicates(objects: &[Loaded], problems: &mut Vec<Problem>) {
    let mut owners = Owners::new();
    for loaded in objects {
        let metadata = loaded.object.metadata();
        let key = (loaded.object.kind(), metadata.namespace.as_str(), metadata.name.as_str());
        if let Some(first) = owners.claim(key, loaded) {
            let reason = format!("it is here twice, first at {}:{}", first.file.display(), first.line);
            problems.push(loaded.problem(FieldPath::root(), reason, "remove or rename one of them"));
        }
    }
}

fn namespaces(objects: &[Loaded], problems: &mut Vec<Problem>) {
    let mut known: HashSet<&str> = HashSet::from([DEFAULT_NAMESPACE, ROOT_NAMESPACE]);
    known.extend(objects.iter().filter_map(|loaded| match &loaded.object {
        Object::Namespace(namespace) => Some(namespace.metadata.name.as_str()),
        _ => None,
    }));
    for loaded in objects.iter().filter(|loaded| loaded.object.kind().is_namespaced()) {
        let name = &loaded.object.metadata().namespace;
        if !known.contains(name.as_str()) {
            let path = FieldPath::of("metadata").key("namespace");
            let reason = format!("the namespace {} does not exist", crate::problem::quoted(name));
            problems.push(loaded.problem(
                path,
                reason,
                format!("add a {} object for it, or correct the name", Kind::Namespace),
            ));
        }
    }
}

fn pods(objects: &[Loaded], problems: &mut Vec<Problem>) {
    let mut addresses = Owners::new();
    let mut uids = Owners::new();
    let mut netns = Owners::new();
    for (loaded, pod) in objects.iter().filter_map(live_pod) {
        if let Some(first) = pod.metadata.uid.as_deref().and_then(|uid| uids.claim(uid, loaded)) {
            let path = FieldPath::of("metadata").key("uid");
            let reason = format!("its uid is also that of {}", place(first));
            problems.push(loaded.problem(path, reason, "give each pod its own"));
        }
        if pod.spec.host_network {
            continue;
        }
        for (path, address) in pod_addresses(pod) {
            if let Some(first) = addresses.claim(address, loaded) {
                let reason = format!("{address} is also the address of {}", place(first));
                problems.push(loaded.problem(path, reason, "give each pod its own"));
            }
        }
        if let Some(first) = pod.netns().and_then(|path| netns.claim(path, loaded)) {
            let path = FieldPath::of("metadata").key("annotations").key(crate::annotations::NETNS);
            let reason = format!("this network namespace is also that of {}", place(first));
            problems.push(loaded.problem(path, reason, "give each pod its own"));
        }
    }
}

fn live_pod(loaded: &Loaded) -> Option<(&Loaded, &Pod)> {
    match &loaded.object {
        Object::Pod(pod) if !pod.is_terminal() => Some((loaded, pod)),
        _ => None,
    }
}

fn pod_addresses(pod: &Pod) -> Vec<(FieldPath, std::net::IpAddr)> {
    let status = FieldPath::of("status");
    if pod.status.pod_ips.is_empty() {
        pod.status.pod_ip.map(|address| (status.key("podIP"), address)).into_iter().collect()
    } else {
        let entries = pod.status.pod_ips.iter().enumerate();
        entries.map(|(index, entry)| (status.key("podIPs").index(index).key("ip"), entry.ip)).collect()
    }
}

fn services(objects: &[Loaded], problems: &mut Vec<Problem>) {
    let mut addresses = Owners::new();
    for loaded in objects {
        let Object::Service(service) = &loaded.object else { continue };
        for address in service.addresses() {
            if let Some(first) = addresses.claim(address, loaded) {
                let reason = format!("{address} is also the address of {}", place(first));
                let path = FieldPath::of("spec").key("clusterIP");
                problems.push(loaded.problem(path, reason, "give each Service its own"));
            }
        }
    }
}
