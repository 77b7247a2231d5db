//! Which resources does the demo hand to its controller and agents? Kubernetes and Istio YAML, as a user writes it.

mod requests;

use std::collections::BTreeMap;
use std::path::Path;

use ambit_kubernetes::{
    ClusterIp, Container, ContainerPort, Metadata, Namespace, Node, Object, Pod, PodIp, PodPhase, PodSpec,
    PodStatus, PortRef, Protocol, Service, ServicePort, ServiceSpec, annotations, labels, to_yaml_documents,
};
use anyhow::Context;

use super::plan::{self, NODES, PODS, Role, WAYPOINT};
pub(crate) use requests::{FAULT, FAULT_TEXT, RETRY, ROUTE, ROUTE_TEXT, TOKEN, WAYPOINT_FILE, WAYPOINT_TEXT};

/// The file that a user of a kept demo edits.
pub(crate) const POLICIES: &str = "policies.yaml";
const PORT_NAME: &str = "http";

/// Who may call whom. Written by hand: it is there to be read and edited.
pub(crate) const POLICY_TEXT: &str = "\
# Who may call whom. Save this file, and the mesh follows within a second, open connections included.
# A mistake is refused (see `ambit demo logs controller`) and what held before goes on.

# Only cart may ask payments for money.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: payments-callers
  namespace: shop
spec:
  selector:
    matchLabels:
      app: payments
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/shop/sa/cart
---
# Only web may talk to cart.
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: cart-callers
  namespace: shop
spec:
  selector:
    matchLabels:
      app: cart
  action: ALLOW
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/shop/sa/web
---
# Whoever talks to cart must prove an identity: plaintext is refused.
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: cart-strict
  namespace: shop
spec:
  selector:
    matchLabels:
      app: cart
  mtls:
    mode: STRICT
# catalog has no policy: it is open to the mesh, and to plaintext from outside of it.
";

/// A policy that closes catalog to web; the show adds it to [`POLICY_TEXT`] and takes it away again.
pub(crate) const CLOSED_CATALOG: &str = "\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: catalog-not-web
  namespace: shop
spec:
  selector:
    matchLabels:
      app: catalog
  action: DENY
  rules:
  - from:
    - source:
        principals:
        - cluster.local/ns/shop/sa/web
";

/// A policy with a mistake: `principal` instead of `principals`. Ignoring it would open catalog to everybody.
pub(crate) const MISTAKE: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: catalog-callers
  namespace: shop
spec:
  selector:
    matchLabels:
      app: catalog
  rules:
  - from:
    - source:
        principal: [cluster.local/ns/shop/sa/cart]
";

/// Every file by name.
pub(crate) fn files(ipv6: bool) -> anyhow::Result<BTreeMap<&'static str, String>> {
    let shop = Namespace {
        metadata: Metadata {
            labels: [(labels::DATAPLANE_MODE.to_owned(), labels::DATAPLANE_AMBIENT.to_owned())].into(),
            ..Metadata::named("", "shop")
        },
    };
    let outside = Namespace { metadata: Metadata::named("", "outside") };
    let nodes = NODES.iter().map(|node| {
        let metadata = Metadata::named("", node.name);
        Object::from(Node { metadata, ..Node::default() })
    });
    let namespaces = [Object::from(shop), Object::from(outside)].into_iter().chain(nodes);
    Ok(BTreeMap::from([
        ("namespaces.yaml", yaml(namespaces)?),
        ("pods.yaml", yaml(plan::Pod::all().map(|each| pod(each, ipv6).into()))?),
        ("services.yaml", yaml(PODS.iter().map(|each| service(each, ipv6).into()))?),
        (POLICIES, POLICY_TEXT.to_owned()),
        (ROUTE, ROUTE_TEXT.to_owned()),
        (WAYPOINT_FILE, WAYPOINT_TEXT.to_owned()),
    ]))
}

/// Writes a file as editors do: beside it, then in its place, so that no reader sees half of it.
pub(crate) fn write(directory: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let beside = directory.join(format!(".{name}.new"));
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::rename(&beside, directory.join(name)))
        .with_context(|| format!("cannot write {}", directory.join(name).display()))
}

fn yaml(objects: impl Iterator<Item = Object>) -> anyhow::Result<String> {
    let objects: Vec<_> = objects.collect();
    Ok(to_yaml_documents(&objects)?)
}

fn metadata(pod: &plan::Pod, more: &[(&str, &str)]) -> Metadata {
    let all = [(labels::APP, pod.name)].into_iter().chain(more.iter().copied());
    Metadata {
        labels: all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        ..Metadata::named(pod.namespace, pod.name)
    }
}

fn pod(pod: &plan::Pod, ipv6: bool) -> Pod {
    let of_waypoint =
        [(labels::GATEWAY_NAME, WAYPOINT.name), (labels::DATAPLANE_MODE, labels::DATAPLANE_NONE)];
    let mut metadata = metadata(pod, if pod.role == Role::Waypoint { &of_waypoint } else { &[] });
    let path = pod.namespace_path().display().to_string();
    metadata.annotations.insert(annotations::NETNS.to_owned(), path);
    let port =
        ContainerPort { name: PORT_NAME.to_owned(), container_port: plan::POD_PORT, protocol: Protocol::Tcp };
    let used = |address: &std::net::IpAddr| ipv6 || address.is_ipv4();
    let addresses = pod.addresses().into_iter().filter(used);
    Pod {
        metadata,
        spec: PodSpec {
            node_name: Some(pod.node().name.to_owned()),
            service_account_name: Some(pod.name.to_owned()),
            containers: vec![Container { name: pod.name.to_owned(), ports: vec![port] }],
            ..PodSpec::default()
        },
        status: PodStatus {
            phase: Some(PodPhase::Running),
            pod_ips: addresses.map(|ip| PodIp { ip }).collect(),
            ..PodStatus::default()
        },
    }
}

fn service(pod: &plan::Pod, ipv6: bool) -> Service {
    let used = |address: &std::net::IpAddr| ipv6 || address.is_ipv4();
    let addresses = pod.virtual_addresses().into_iter().filter(used);
    let guarded = [(labels::USE_WAYPOINT, WAYPOINT.name)];
    Service {
        metadata: metadata(pod, if pod.role == Role::Guarded { &guarded } else { &[] }),
        spec: ServiceSpec {
            cluster_ips: addresses.map(ClusterIp::Address).collect(),
            selector: [(labels::APP.to_owned(), pod.name.to_owned())].into(),
            ports: vec![ServicePort {
                name: PORT_NAME.to_owned(),
                port: plan::SERVICE_PORT,
                target_port: Some(PortRef::Name(PORT_NAME.to_owned())),
                protocol: Protocol::Tcp,
                app_protocol: None,
            }],
            ..ServiceSpec::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use ambit_kubernetes::{Enrolment, enrolled, read_directory, read_text};

    use super::*;

    #[test]
    fn the_mesh_reads_what_the_demo_writes() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files(true).unwrap() {
            write(directory.path(), name, &text).unwrap();
        }
        let resources = read_directory(directory.path()).unwrap();
        assert_eq!(resources.notes, []);
        let pods = resources.objects.iter().filter_map(|loaded| match &loaded.object {
            Object::Pod(pod) => Some(pod),
            _ => None,
        });
        let pods: Vec<_> = pods.collect();
        assert_eq!(pods.len(), plan::Pod::all().count());
        for pod in pods {
            let plan = plan::Pod::named(&pod.metadata.name).unwrap();
            assert_eq!(pod.addresses(), plan.addresses());
            assert_eq!(pod.node(), Some(plan.node().name));
            assert_eq!(pod.netns().map(Path::new), Some(plan.namespace_path().as_path()));
        }
    }

    #[test]
    fn the_edit_is_valid_and_the_mistake_is_not() {
        let file = Path::new(POLICIES);
        assert!(read_text(file, &format!("{POLICY_TEXT}{CLOSED_CATALOG}")).is_ok());
        for text in [&format!("{ROUTE_TEXT}{RETRY}"), FAULT_TEXT] {
            assert!(read_text(file, text).is_ok(), "{text}");
        }
        let problems = read_text(file, MISTAKE).unwrap_err();
        assert!(problems.iter().any(|problem| problem.to_string().contains("principal")));
    }

    #[test]
    fn only_the_shop_is_enrolled() {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files(false).unwrap() {
            write(directory.path(), name, &text).unwrap();
        }
        let resources = read_directory(directory.path()).unwrap();
        let objects = || resources.objects.iter().map(|loaded| &loaded.object);
        for plan in plan::Pod::all() {
            let pod = objects().find_map(|object| match object {
                Object::Pod(pod) if pod.metadata.name == plan.name => Some(pod),
                _ => None,
            });
            let namespace = objects().find_map(|object| match object {
                Object::Namespace(namespace) if namespace.metadata.name == plan.namespace => Some(namespace),
                _ => None,
            });
            assert_eq!(
                enrolled(pod.unwrap(), namespace.map(|namespace| &**namespace)) == Enrolment::Enrolled,
                plan.is_enrolled(),
                "{}",
                plan.name
            );
        }
    }
}
