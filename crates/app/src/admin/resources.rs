//! `/config_dump`: everything the proxy knows, under the names of Istio's ztunnel, which `istioctl ztunnel-config` reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use ambit_model::policy::{Match, StringMatch};
use ambit_model::service::{BalanceMode, IpFamilies, Port, Scope, ServiceAddress, Visibility};
use ambit_model::workload::{Gateway, GatewayDestination, Health, NetworkMode, Tunnel};
use ambit_model::{Policy, Service, Snapshot, Workload};
use serde_json::{Map, Value, json};

use super::Document;

/// The part of the dump that comes from the controller: `workloads`, `services`, `stagedServices`, `policies`. Each
/// resource is written when it is sent.
pub fn resources(snapshot: Arc<Snapshot>) -> Document {
    let mut workloads: Vec<_> = snapshot.workloads().cloned().collect();
    workloads.sort_by(|a, b| a.uid.cmp(&b.uid));
    let mut services: Vec<_> = snapshot.services().cloned().collect();
    services.sort_by(|a, b| (&a.key.hostname, &a.key.namespace).cmp(&(&b.key.hostname, &b.key.namespace)));
    let mut policies: Vec<_> = snapshot.policies().cloned().collect();
    policies.sort_by(|a, b| a.key.cmp(&b.key));
    let staged = staged(&snapshot);
    Document::new()
        .list("workloads", workloads.into_iter().map(|each| workload(&each)))
        .list("services", services.into_iter().map(move |each| service(&snapshot, &each)))
        .member("stagedServices", staged)
        .list("policies", policies.into_iter().map(|each| policy(&each)))
}

/// Endpoints whose service has not arrived.
fn staged(snapshot: &Snapshot) -> Value {
    let mut staged: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for workload in snapshot.workloads() {
        for (key, ports) in workload.services.iter() {
            if snapshot.service(key).is_none() {
                let endpoints = staged.entry(key.to_string()).or_default();
                endpoints.insert(workload.uid.to_string(), endpoint(workload, ports));
            }
        }
    }
    json!(staged)
}

fn workload(workload: &Workload) -> Value {
    let mut dump = Map::new();
    let mut put = |name: &str, value: Value| {
        dump.insert(name.into(), value);
    };
    put("workloadIps", json!(workload.addresses));
    if let Some(waypoint) = &workload.waypoint {
        put("waypoint", gateway(waypoint));
    }
    if let Some(network_gateway) = &workload.network_gateway {
        put("networkGateway", gateway(network_gateway));
    }
    put("protocol", json!(if workload.tunnel == Tunnel::Hbone { "HBONE" } else { "TCP" }));
    let host = workload.network_mode == NetworkMode::HostNetwork;
    put("networkMode", json!(if host { "HostNetwork" } else { "Standard" }));
    for (name, text) in [
        ("uid", &workload.uid),
        ("name", &workload.name),
        ("namespace", &workload.namespace),
        ("trustDomain", workload.identity.trust_domain()),
        ("serviceAccount", workload.identity.service_account()),
        ("network", &workload.network),
        ("workloadName", &workload.workload_name),
        ("canonicalName", &workload.canonical_name),
        ("canonicalRevision", &workload.canonical_revision),
        ("hostname", &workload.hostname),
        ("node", &workload.node),
    ] {
        if !text.is_empty() || matches!(name, "name" | "namespace") {
            put(name, json!(&**text));
        }
    }
    put("workloadType", json!(workload.workload_type.word()));
    if workload.native_tunnel {
        put("nativeTunnel", json!(true));
    }
    if let Some(tunnel) = workload.application_tunnel {
        let protocol = if tunnel.proxy_protocol { "PROXY" } else { "NONE" };
        put("applicationTunnel", json!({ "protocol": protocol, "port": tunnel.port }));
    }
    if !workload.policies.is_empty() {
        put("authorizationPolicies", json!(texts(&workload.policies)));
    }
    put("status", json!(health(workload)));
    put("clusterId", json!(&*workload.cluster));
    let locality = &workload.locality;
    if [&locality.region, &locality.zone, &locality.subzone].iter().any(|text| !text.is_empty()) {
        put(
            "locality",
            json!({ "region": &*locality.region, "zone": &*locality.zone, "subzone": &*locality.subzone }),
        );
    }
    if !workload.services.is_empty() {
        put("services", workload.services.keys().map(|key| json!(key.to_string())).collect());
    }
    put("capacity", json!(workload.capacity));
    Value::Object(dump)
}

fn health(workload: &Workload) -> &'static str {
    match workload.health {
        Health::Healthy => "Healthy",
        Health::Unhealthy => "Unhealthy",
    }
}

fn endpoint(workload: &Workload, ports: &[Port]) -> Value {
    json!({ "workloadUid": &*workload.uid, "port": port_map(ports), "status": health(workload) })
}

fn port_map(ports: &[Port]) -> BTreeMap<u16, u16> {
    ports.iter().map(|port| (port.service_port, port.target_port)).collect()
}

fn gateway(gateway: &Gateway) -> Value {
    let destination = match &gateway.destination {
        GatewayDestination::Service(key) => key.to_string(),
        GatewayDestination::Address(address) => address.to_string(),
    };
    json!({ "destination": destination, "hboneMtlsPort": gateway.hbone_port })
}

fn service(snapshot: &Snapshot, service: &Service) -> Value {
    let vips = service.addresses.iter().filter_map(|address| match address {
        ServiceAddress::Ip(address) => Some(address.to_string()),
        ServiceAddress::Block(..) => None,
    });
    let blocks = service.addresses.iter().filter_map(|address| match address {
        ServiceAddress::Block(network, block) => Some(format!("{network}/{block}")),
        ServiceAddress::Ip(_) => None,
    });
    let endpoints: Map<String, Value> = snapshot
        .endpoints(&service.key)
        .iter()
        .map(|each| (each.workload.uid.to_string(), endpoint(&each.workload, &each.ports)))
        .collect();
    let mut dump = json!({
        "name": &*service.name,
        "namespace": &*service.key.namespace,
        "hostname": &*service.key.hostname,
        "vips": vips.collect::<Vec<_>>(),
        "ports": port_map(&service.ports),
        "endpoints": endpoints,
        "subjectAltNames": texts(&service.subject_alt_names),
        "canonical": service.canonical,
        "visibility": match service.visibility {
            Visibility::Public => "Public",
            Visibility::Namespace => "Namespace",
        },
    });
    let blocks: Vec<_> = blocks.collect();
    if !blocks.is_empty() {
        dump["cidrVips"] = json!(blocks);
    }
    if let Some((waypoint, _)) = service.waypoints.first() {
        dump["waypoint"] = gateway(waypoint);
    }
    if service.waypoints.len() > 1 {
        let weighted = service.waypoints.iter();
        dump["weightedWaypoints"] = weighted
            .map(|(waypoint, weight)| json!({ "destination": gateway(waypoint), "weight": weight }))
            .collect();
    }
    if let Some(balancing) = balancing(service) {
        dump["loadBalancer"] = balancing;
    }
    if service.ip_families != IpFamilies::Automatic {
        dump["ipFamilies"] = json!(format!("{:?}", service.ip_families));
    }
    dump
}

fn balancing(service: &Service) -> Option<Value> {
    let balancing = &service.load_balancing;
    if *balancing == Default::default() {
        return None;
    }
    let scopes = balancing.preference.iter().map(|scope| match scope {
        Scope::Region => "Region",
        Scope::Zone => "Zone",
        Scope::Subzone => "Subzone",
        Scope::Node => "Node",
        Scope::Cluster => "Cluster",
        Scope::Network => "Network",
    });
    let mode = match balancing.mode {
        BalanceMode::Unspecified => "Standard",
        BalanceMode::Strict => "Strict",
        BalanceMode::Failover => "Failover",
        BalanceMode::Passthrough => "Passthrough",
    };
    let health = if balancing.allow_unhealthy { "AllowAll" } else { "OnlyHealthy" };
    Some(json!({ "routingPreferences": scopes.collect::<Vec<_>>(), "mode": mode, "healthPolicy": health }))
}

fn policy(policy: &Policy) -> Value {
    let name = policy.key.split_once('/').map_or(&*policy.key, |(_, name)| name);
    let rules = policy.rules.iter().map(|rule| {
        let clauses = rule.clauses.iter();
        clauses.map(|clause| clause.matches.iter().map(attributes).collect::<Value>()).collect::<Value>()
    });
    let mut dump = json!({
        "name": name,
        "namespace": &*policy.namespace,
        "scope": format!("{:?}", policy.scope),
        "action": format!("{:?}", policy.action),
        "rules": rules.collect::<Value>(),
        "dryRun": policy.dry_run,
    });
    let undecodable = policy.rules.iter().find_map(|rule| rule.undecodable.as_ref());
    if let Some(reason) = policy.unusable.as_ref().or(undecodable) {
        dump["problem"] = json!(&**reason);
    }
    dump
}

fn attributes(attributes: &Match) -> Value {
    let mut dump = Map::new();
    let mut put = |name: &str, values: Vec<Value>| {
        if !values.is_empty() {
            dump.insert(name.into(), Value::Array(values));
        }
    };
    let strings = |matches: &[StringMatch]| matches.iter().map(string).collect();
    let accounts = |matches: &[ambit_model::policy::ServiceAccount]| {
        let account = |each: &ambit_model::policy::ServiceAccount| json!({ "namespace": &*each.namespace, "serviceAccount": &*each.name });
        matches.iter().map(account).collect()
    };
    let texts = |values: Vec<String>| values.into_iter().map(Value::String).collect();
    let blocks = |blocks: &[ipnet::IpNet]| texts(blocks.iter().map(ToString::to_string).collect());
    let ports = |ports: &[u16]| ports.iter().map(|port| json!(port)).collect();
    put("namespaces", strings(&attributes.namespaces));
    put("notNamespaces", strings(&attributes.not_namespaces));
    put("serviceAccounts", accounts(&attributes.service_accounts));
    put("notServiceAccounts", accounts(&attributes.not_service_accounts));
    put("principals", strings(&attributes.principals));
    put("notPrincipals", strings(&attributes.not_principals));
    put("sourceIps", blocks(&attributes.source_ips));
    put("notSourceIps", blocks(&attributes.not_source_ips));
    put("destinationIps", blocks(&attributes.destination_ips));
    put("notDestinationIps", blocks(&attributes.not_destination_ips));
    put("destinationPorts", ports(&attributes.destination_ports));
    put("notDestinationPorts", ports(&attributes.not_destination_ports));
    Value::Object(dump)
}

fn string(value: &StringMatch) -> Value {
    match value {
        StringMatch::Exact(text) => json!({ "Exact": &**text }),
        StringMatch::Prefix(text) => json!({ "Prefix": &**text }),
        StringMatch::Suffix(text) => json!({ "Suffix": &**text }),
        StringMatch::Presence => json!({ "Presence": [] }),
    }
}

fn texts(texts: &[ambit_model::Text]) -> Vec<&str> {
    texts.iter().map(|text| &**text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::Change;
    use ambit_model::service::{AppProtocol, ServiceKey};

    #[test]
    fn names_are_those_that_istioctl_reads() {
        let key = ServiceKey::new("ns", "a.ns.svc.cluster.local");
        let mut workload = Workload::new("c//Pod/ns/a", "a", "ns").unwrap();
        workload.addresses = vec!["10.0.0.1".parse().unwrap()];
        workload.tunnel = Tunnel::Hbone;
        let port = Port { service_port: 80, target_port: 8080, protocol: AppProtocol::Unknown };
        workload.services.insert(key.clone(), vec![port]);
        let mut snapshot = Snapshot::new("");
        snapshot.apply([Change::Workload(workload.into()), Change::Service(Service::new("a", key).into())]);
        let text: Vec<u8> = resources(Arc::new(snapshot)).flatten().collect();
        let dump: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(dump["workloads"][0]["workloadIps"], json!(["10.0.0.1"]));
        assert_eq!(dump["workloads"][0]["protocol"], "HBONE");
        assert_eq!(dump["workloads"][0]["status"], "Healthy");
        assert_eq!(dump["services"][0]["endpoints"]["c//Pod/ns/a"]["port"]["80"], 8080);
        assert_eq!(dump["stagedServices"], json!({}));
    }
}
