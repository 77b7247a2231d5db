//! What an operator on this machine may ask: readiness, metrics, log levels, and what is in force.

use ambit_app::admin::{Answer, MetricsFormat};
use ambit_app::{Readiness, Routes};
use ambit_kubernetes::Object;
use ambit_telemetry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::publish::InForce;
use crate::run::Surroundings;

/// The routes; those of the process's log and end only where the process has them to give.
pub fn routes(
    readiness: Readiness,
    registry: Registry,
    in_force: watch::Receiver<Option<InForce>>,
    around: Surroundings,
) -> Routes {
    if let Some(log) = &around.log {
        log.register(&registry);
    }
    let mut routes = Routes::new()
        .readiness("/healthz/ready", readiness.clone())
        .readiness("/ready", readiness)
        .metrics(move |format| {
            let accept = match format {
                MetricsFormat::OpenMetrics => "application/openmetrics-text",
                MetricsFormat::Text => "",
            };
            std::future::ready(registry.encode(accept).1)
        })
        .get("/debug/config", "what is in force, as JSON", move |_| {
            let dump = dump(in_force.borrow().as_ref());
            async move { Answer::json(&dump) }
        });
    if let Some(log) = around.log {
        routes = routes.logging(move |change| {
            use ambit_app::admin::LogChange;
            match change {
                LogChange::Show => Ok(log.current()),
                // Istio writes TARGET:LEVEL.
                LogChange::Level(level) => {
                    log.add(&level.replace(':', "=")).map_err(|error| error.to_string())
                }
                LogChange::Reset => log.reset("").map_err(|error| error.to_string()),
            }
        });
    }
    match around.trigger {
        Some(trigger) => routes.quit(trigger),
        None => routes,
    }
}

fn dump(in_force: Option<&InForce>) -> Value {
    let Some(now) = in_force else { return json!({"configuration": null}) };
    let captured: Vec<Value> = now
        .captured
        .pods()
        .map(|(node, pod)| json!({"node": node, "namespace": pod.namespace, "name": pod.name}))
        .collect();
    let objects: Vec<String> = now.configuration.objects().map(Object::to_string).collect();
    let workloads: Vec<Value> = now.index.workloads().into_iter().map(|one| workload(one)).collect();
    let services: Vec<Value> = now.index.services().into_iter().map(|one| service(one)).collect();
    let policies: Vec<Value> = now.index.policies().into_iter().map(|one| policy(one)).collect();
    json!({
        "since": jiff::Timestamp::try_from(now.since).map(|since| since.to_string()).ok(),
        "objects": objects,
        "captured": captured,
        "workloads": workloads,
        "services": services,
        "policies": policies,
        "notes": now.index.notes(),
    })
}

fn workload(workload: &ambit_model::Workload) -> Value {
    json!({
        "uid": workload.uid,
        "identity": workload.identity.to_string(),
        "addresses": workload.addresses,
        "node": workload.node,
        "protocol": if workload.tunnel == ambit_model::workload::Tunnel::Hbone { "HBONE" } else { "TCP" },
        "healthy": workload.health == ambit_model::workload::Health::Healthy,
        "policies": workload.policies,
        "services": workload.services.keys().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn service(service: &ambit_model::Service) -> Value {
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|port| json!({"servicePort": port.service_port, "targetPort": port.target_port}))
        .collect();
    use ambit_model::service::ServiceAddress;
    let address = |address: &ServiceAddress| match address {
        ServiceAddress::Ip(address) => address.ip.to_string(),
        ServiceAddress::Block(_, block) => block.to_string(),
    };
    let addresses: Vec<String> = service.addresses.iter().map(address).collect();
    json!({"key": service.key.to_string(), "addresses": addresses, "ports": ports})
}

fn policy(policy: &ambit_model::Policy) -> Value {
    json!({
        "key": policy.key,
        "scope": format!("{:?}", policy.scope),
        "action": format!("{:?}", policy.action),
        "rules": policy.rules.len(),
        "dryRun": policy.dry_run,
    })
}
