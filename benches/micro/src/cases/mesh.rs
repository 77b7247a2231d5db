//! A configuration of any size: pods on ten nodes, and a service for every ten of them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ambit_model::service::{Port, ServiceAddress, ServiceKey};
use ambit_model::workload::Tunnel;
use ambit_model::{Change, Identity, NetworkAddress, Service, Snapshot, Workload};
use ambit_xds::configuration::{Configuration, Writer, configuration};
use anyhow::Context;

/// The node of the proxy.
const NODE: &str = "node-0";

/// Pods behind a service.
pub(super) const ENDPOINTS: usize = 10;

/// The address of a pod.
pub(super) fn pod(number: usize) -> anyhow::Result<IpAddr> {
    host([10, 0, 0, 0], number)
}

/// The address of a service, with its port.
pub(super) fn service(number: usize) -> anyhow::Result<SocketAddr> {
    Ok((host([172, 16, 0, 0], number)?, 80).into())
}

fn host(network: [u8; 4], number: usize) -> anyhow::Result<IpAddr> {
    let address = u32::from_be_bytes(network) + u32::try_from(number)? + 1;
    Ok(Ipv4Addr::from(address).into())
}

/// A pod of the mesh; `revision` makes one that differs.
pub(super) fn workload(number: usize, revision: &str) -> anyhow::Result<Change> {
    let (name, account) = (format!("pod-{number}"), format!("app-{}", number / ENDPOINTS));
    let uid = format!("Kubernetes//Pod/shop/{name}");
    let mut workload = Workload::new(&uid, &name, "shop").context("a workload")?;
    workload.addresses = vec![pod(number)?];
    workload.identity = Identity::new("cluster.local", "shop", &account).context("an identity")?;
    workload.tunnel = Tunnel::Hbone;
    workload.node = format!("node-{}", number % 10).as_str().into();
    workload.workload_name = account.as_str().into();
    workload.canonical_name = account.as_str().into();
    workload.canonical_revision = revision.into();
    workload.services.insert(key(number / ENDPOINTS), vec![port()]);
    Ok(Change::Workload(workload.into()))
}

fn key(number: usize) -> ServiceKey {
    ServiceKey::new("shop", &format!("app-{number}.shop.svc.cluster.local"))
}

fn port() -> Port {
    Port { service_port: 80, target_port: 8080, protocol: ambit_model::service::AppProtocol::Unknown }
}

/// A snapshot of so many pods, as the proxy of one node has it.
pub(super) fn snapshot(pods: usize) -> anyhow::Result<Snapshot> {
    let mut snapshot = Snapshot::new(NODE);
    snapshot.apply(changes(pods)?);
    Ok(snapshot)
}

/// So many pods, published: the cases of one process share them, because they take long to make under valgrind.
pub(super) fn published(pods: usize) -> anyhow::Result<Rc<(Writer, Configuration)>> {
    thread_local! {
        static PUBLISHED: RefCell<BTreeMap<usize, Rc<(Writer, Configuration)>>> = const { RefCell::new(BTreeMap::new()) };
    }
    if let Some(made) = PUBLISHED.with_borrow(|published| published.get(&pods).cloned()) {
        return Ok(made);
    }
    let made = Rc::new(configuration(NODE));
    made.0.apply(changes(pods)?);
    PUBLISHED.with_borrow_mut(|published| published.insert(pods, made.clone()));
    Ok(made)
}

fn changes(pods: usize) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::with_capacity(pods + pods.div_ceil(ENDPOINTS));
    for number in 0..pods.div_ceil(ENDPOINTS) {
        let mut made = Service::new(&format!("app-{number}"), key(number));
        made.addresses = vec![ServiceAddress::Ip(NetworkAddress::new("".into(), service(number)?.ip()))];
        made.ports = vec![port()];
        made.canonical = true;
        changes.push(Change::Service(made.into()));
    }
    for number in 0..pods {
        changes.push(workload(number, "v1")?);
    }
    Ok(changes)
}
