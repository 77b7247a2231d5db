//! A Pod: where it runs, as whom, with which addresses and named ports.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Metadata, Protocol, annotations, fields};

/// `v1` Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    /// Name, namespace, labels, annotations and owners.
    pub metadata: Metadata,
    /// What was asked for.
    pub spec: PodSpec,
    /// What was observed.
    #[serde(skip_serializing_if = "fields::is_default")]
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// The node that runs it; nothing until it is scheduled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The account in its identity; see [`Pod::service_account`] for the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Whether it shares the node's network namespace.
    #[serde(skip_serializing_if = "fields::is_false")]
    pub host_network: bool,
    /// Its containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<Container>,
    /// Containers that run first, or beside the others when they restart always.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_containers: Vec<InitContainer>,
}

/// One container, trimmed to its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Its name in the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Ports it declares; a Service may refer to them by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
}

/// One init container, trimmed to its ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InitContainer {
    /// Its name in the pod.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// `Always` makes it a native sidecar, whose ports count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_policy: Option<ContainerRestartPolicy>,
    /// Ports it declares.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<ContainerPort>,
}

/// When a single container is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerRestartPolicy {
    /// Whenever it ends: a native sidecar.
    Always,
    /// When it fails.
    OnFailure,
    /// Not at all.
    Never,
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort {
    /// Name by which a Service's `targetPort` may refer to it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// 1 to 65535.
    #[serde(deserialize_with = "fields::port")]
    pub container_port: u16,
    /// TCP unless said otherwise.
    #[serde(default, skip_serializing_if = "fields::is_default")]
    pub protocol: Protocol,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Where it is in its life; nothing in pods written by hand, which counts as running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<PodPhase>,
    /// Its first address.
    #[serde(
        rename = "podIP",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "fields::optional_ip_address"
    )]
    pub pod_ip: Option<IpAddr>,
    /// All its addresses, of both families.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodIp>,
    /// What was observed about it, `Ready` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<PodCondition>,
}

/// Where a Pod is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PodPhase {
    /// Accepted; init containers may already be talking.
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well; final.
    Succeeded,
    /// All containers ended, one badly; final.
    Failed,
    /// The node cannot be asked.
    Unknown,
}

/// One address of a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIp {
    /// The address.
    #[serde(deserialize_with = "fields::ip_address")]
    pub ip: IpAddr,
}

/// One condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodCondition {
    /// `Ready`, `Initialized`, `PodScheduled` ...
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`; quoted in YAML.
    pub status: String,
}

impl Pod {
    /// All its addresses: `podIPs`, else `podIP`; empty before it has any.
    pub fn addresses(&self) -> Vec<IpAddr> {
        if self.status.pod_ips.is_empty() {
            self.status.pod_ip.into_iter().collect()
        } else {
            self.status.pod_ips.iter().map(|entry| entry.ip).collect()
        }
    }

    /// Whether the condition `Ready` is `True`; a deletion in progress makes it false.
    pub fn is_ready(&self) -> bool {
        self.metadata.deletion_timestamp.is_none()
            && self
                .status
                .conditions
                .iter()
                .any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// Whether it ended for good (`Succeeded` or `Failed`).
    pub fn is_terminal(&self) -> bool {
        matches!(self.status.phase, Some(PodPhase::Succeeded | PodPhase::Failed))
    }

    /// The account in its identity: `spec.serviceAccountName`, else `default`, as Kubernetes fills in.
    pub fn service_account(&self) -> &str {
        self.spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default")
    }

    /// The node that runs it.
    pub fn node(&self) -> Option<&str> {
        self.spec.node_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Absolute path of its network namespace, from the annotation [`annotations::NETNS`].
    pub fn netns(&self) -> Option<&str> {
        self.metadata.annotation(annotations::NETNS)
    }

    /// The uid, else one made of namespace and name: pods written by hand carry none.
    pub fn uid(&self) -> String {
        match &self.metadata.uid {
            Some(uid) if !uid.is_empty() => uid.clone(),
            _ => format!("{}/{}", self.metadata.namespace, self.metadata.name),
        }
    }
}
