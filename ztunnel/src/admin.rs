//! What operators see in `/config_dump`.

use std::sync::Arc;

use ambit_app::admin::Document;
use ambit_app::admin::resources::resources;
use ambit_app::operators::certificates;
use ambit_identity::Certificates;
use ambit_xds::Configuration;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::connections::{self, Connections};
use crate::pods::PodState;
use crate::settings::Settings;

/// What the dump is made of.
#[derive(Clone)]
pub struct Sources {
    /// Settings of the process.
    pub settings: Arc<Settings>,
    /// Configuration from the controller.
    pub configuration: Configuration,
    /// Certificates.
    pub certificates: Certificates,
    /// The pods and whether they are served.
    pub pods: watch::Receiver<Vec<PodState>>,
    /// The open connections of each worker.
    pub connections: Vec<Connections>,
}

impl Sources {
    /// What `/config_dump` answers.
    pub fn dump(&self) -> Document {
        let product = json!({ "version": env!("CARGO_PKG_VERSION"), "product": "ambit" });
        resources(self.configuration.snapshot())
            .list("certificates", certificates(&self.certificates))
            .member("workloadState", pods(&self.pods.borrow(), &self.connections))
            .member("config", settings(&self.settings))
            .member("staticConfig", json!({ "workloads": [], "policies": [], "services": [] }))
            .member("version", product)
    }
}

fn pods(pods: &[PodState], connections: &[Connections]) -> Value {
    let state = |state: &PodState| {
        let info = json!({
            "name": &*state.pod.name,
            "namespace": &*state.pod.namespace,
            "serviceAccount": &*state.pod.service_account,
        });
        let mut dump =
            json!({ "state": if state.failed.is_some() { "Pending" } else { "Up" }, "info": info });
        let open: Vec<_> = connections.iter().flat_map(|worker| worker.of(&state.pod)).collect();
        dump["connections"] = connections::dump(&open);
        if let Some(reason) = &state.failed {
            dump["reason"] = json!(reason);
        }
        (state.uid.to_string(), dump)
    };
    Value::Object(pods.iter().map(state).collect())
}

fn settings(settings: &Settings) -> Value {
    json!({
        "localNode": settings.node,
        "clusterId": settings.cluster,
        "xdsAddress": settings.xds.address,
        "caAddress": settings.ca.address,
        "numWorkerThreads": settings.workers,
        "secretTtl": format!("{:?}", settings.certificate_lifetime),
        "poolMaxStreamsPerConn": settings.tunnel_streams,
        "windowSize": settings.stream_window,
        "connectionWindowSize": settings.connection_window,
        "frameSize": settings.frame,
        "packetMark": settings.mark,
        "ipv6Enabled": settings.ipv6,
        "selfTerminationDeadline": format!("{:?}", settings.drain),
        "inpodUds": settings.agent_socket,
    })
}
