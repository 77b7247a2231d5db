//! Who is this waypoint, and which services and workloads are bound to it? Pure.

use std::sync::Arc;

use ambit_model::address::canonical;
use ambit_model::service::ServiceKey;
use ambit_model::workload::{
    Gateway, GatewayDestination, Health, Locality, NetworkMode, Traits, Tunnel, WorkloadType,
};
use ambit_model::{Memberships, Snapshot, Text, Workload};

use crate::settings::Settings;

/// What the configuration says about this very proxy.
#[derive(Debug, Clone)]
pub struct Own {
    /// Its workload. Until the controller announces it, one made of the settings.
    pub workload: Arc<Workload>,
    /// Whether it was announced.
    pub announced: bool,
}

impl Own {
    /// As of this snapshot.
    pub fn of(snapshot: &Snapshot, settings: &Settings, unannounced: &Arc<Workload>) -> Self {
        match snapshot.local_workload(&settings.namespace, &settings.pod_name) {
            Some(workload) => Self { workload: workload.clone(), announced: true },
            None => Self { workload: unannounced.clone(), announced: false },
        }
    }

    /// Whether `waypoint`, of a service or workload, is the Gateway that this proxy stands for: a service that has this
    /// pod among its endpoints, or bears the Gateway's name in its namespace; or an address of either.
    pub fn is(&self, snapshot: &Snapshot, settings: &Settings, waypoint: &Gateway) -> bool {
        let ours = |key: &ServiceKey| self.workload.services.contains_key(key) || bears_name(settings, key);
        match &waypoint.destination {
            GatewayDestination::Service(key) => ours(key),
            GatewayDestination::Address(address) if address.network != self.workload.network => false,
            GatewayDestination::Address(address) => {
                let service = snapshot.service_at(&address.network, address.ip, &settings.namespace);
                self.workload.owns(address.ip) || service.is_some_and(|service| ours(&service.key))
            }
        }
    }
}

/// `NAME.NAMESPACE.svc.` and whatever domain the cluster has.
fn bears_name(settings: &Settings, key: &ServiceKey) -> bool {
    let rest = key.hostname.strip_prefix(&*settings.gateway).and_then(|rest| rest.strip_prefix('.'));
    let rest = rest.and_then(|rest| rest.strip_prefix(&*settings.namespace));
    key.namespace == settings.namespace && rest.is_some_and(|rest| rest.starts_with(".svc."))
}

/// The workload of a proxy that has not been announced.
pub fn unannounced(settings: &Settings) -> Arc<Workload> {
    let uid = format!("{}//Pod/{}/{}", settings.cluster, settings.namespace, settings.pod_name);
    let empty: Text = "".into();
    let traits = Traits {
        namespace: settings.namespace.clone(),
        hostname: empty,
        network: settings.network.clone(),
        tunnel: Tunnel::Hbone,
        native_tunnel: true,
        waypoint: None,
        network_gateway: None,
        canonical_revision: "latest".into(),
        workload_type: WorkloadType::Deployment,
        policies: Vec::new(),
        cluster: settings.cluster.clone(),
        application_tunnel: None,
        locality: Locality::default(),
        network_mode: NetworkMode::Standard,
    };
    Arc::new(Workload {
        uid: uid.into(),
        name: settings.pod_name.clone(),
        addresses: settings.address.map(canonical).into_iter().collect(),
        identity: settings.identity.clone(),
        node: settings.node.clone(),
        canonical_name: settings.gateway.clone(),
        workload_name: settings.gateway.clone(),
        health: Health::Healthy,
        services: Memberships::default(),
        capacity: 1,
        traits: traits.into(),
    })
}
