//! Each rule of the mapping on its own, from YAML to the published value.

mod entries;
mod guard;
mod incremental;
mod l7;
mod narrowing;
mod peer_authentication;
mod policies;
mod services;
mod slices;
mod waypoints;
mod workloads;

use std::path::Path;

use ambit_kubernetes::Object;
use ambit_model::{Policy, Service, Workload};

use super::{Index, build};
use crate::captured::{Captured, CapturedPod};
use crate::settings::MeshSettings;

fn objects(yaml: &str) -> Vec<Object> {
    let resources = ambit_kubernetes::read_text(Path::new("test.yaml"), yaml).unwrap_or_else(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{problems:#?}");
    });
    resources.objects.into_iter().map(|loaded| loaded.object).collect()
}

fn index(yaml: &str) -> Index {
    build(&objects(yaml), &Captured::default(), &MeshSettings::default())
}

fn captured(node: &str, pod: (&str, &str, Option<&str>)) -> Captured {
    let (namespace, name, uid) = pod;
    let pod = CapturedPod { namespace: namespace.into(), name: name.into(), uid: uid.map(str::to_owned) };
    Captured::default().with_node(&node.parse().unwrap(), [pod])
}

impl Index {
    fn told(&self) -> Vec<String> {
        self.notes().to_vec()
    }

    #[track_caller]
    fn workload(&self, name: &str) -> &Workload {
        let found = self.workloads().into_iter().find(|workload| &*workload.name == name);
        found.unwrap_or_else(|| panic!("no workload {name} in {:?}", self.workloads()))
    }

    #[track_caller]
    fn service(&self, name: &str) -> &Service {
        let found = self.services().into_iter().find(|service| &*service.name == name);
        found.unwrap_or_else(|| panic!("no service {name} in {:?}", self.services()))
    }

    #[track_caller]
    fn policy(&self, key: &str) -> &Policy {
        let found = self.policies().into_iter().find(|policy| &*policy.key == key);
        found.unwrap_or_else(|| panic!("no policy {key} in {:?}", self.policies()))
    }
}

/// The ports of a workload behind a service of its namespace, as (service port, target port).
#[track_caller]
fn ports(workload: &Workload, service: &str) -> Vec<(u16, u16)> {
    let key = format!("{}/{service}.{}.svc.cluster.local", workload.namespace, workload.namespace);
    let ports = workload.services.get(&key.parse().unwrap()).unwrap();
    ports.iter().map(|port| (port.service_port, port.target_port)).collect()
}
