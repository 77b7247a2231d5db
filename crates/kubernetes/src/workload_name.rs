//! The names under which a pod's telemetry and policies know it: workload, canonical service and revision.

use std::fmt;

use crate::{OwnerReference, Pod, labels};

/// The workload that a pod belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkloadName {
    /// Its name, such as the Deployment's.
    pub name: String,
    /// What it is, as far as the pod tells.
    pub kind: WorkloadKind,
}

/// What a workload is. On the wire it is always a pod; this is for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkloadKind {
    /// A pod of its own.
    Pod,
    /// A Deployment, seen through its ReplicaSet.
    Deployment,
    /// An Argo Rollout, seen through its ReplicaSet.
    Rollout,
    /// An OpenShift DeploymentConfig, seen through its ReplicationController.
    DeploymentConfig,
    /// A CronJob, seen through its Job.
    CronJob,
    /// The kind of the owner itself.
    Owner(String),
}

/// The workload of a pod: the label [`labels::WORKLOAD_NAME`], else guessed from the owner that controls the pod when
/// its name was generated, else the pod itself.
pub fn workload_name(pod: &Pod) -> WorkloadName {
    let mut workload = match pod.metadata.controller() {
        Some(owner) if pod.metadata.generate_name.as_deref().is_some_and(|prefix| !prefix.is_empty()) => {
            from_owner(pod, owner)
        }
        _ => WorkloadName { name: pod.metadata.name.clone(), kind: WorkloadKind::Pod },
    };
    if let Some(name) = present(pod, labels::WORKLOAD_NAME) {
        workload.name = name.to_owned();
    } else if workload.name.is_empty() {
        workload.name = pod.metadata.name.clone();
    }
    workload
}

/// The canonical service of a pod: the first of its three labels, else the workload's name.
pub fn canonical_name(pod: &Pod) -> String {
    [labels::CANONICAL_NAME, labels::APP_KUBERNETES_NAME, labels::APP]
        .into_iter()
        .find_map(|key| present(pod, key))
        .map_or_else(|| workload_name(pod).name, str::to_owned)
}

/// The canonical revision of a pod: the first of its three labels, else `latest`.
pub fn canonical_revision(pod: &Pod) -> &str {
    [labels::CANONICAL_REVISION, labels::APP_KUBERNETES_VERSION, labels::VERSION]
        .into_iter()
        .find_map(|key| present(pod, key))
        .unwrap_or("latest")
}

fn present<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.label(key).filter(|value| !value.is_empty())
}

fn from_owner(pod: &Pod, owner: &OwnerReference) -> WorkloadName {
    let without_hash =
        |label| present(pod, label).and_then(|hash| owner.name.strip_suffix(hash)?.strip_suffix('-'));
    let (name, kind) = match owner.kind.as_str() {
        "ReplicaSet" => {
            if let Some(name) = without_hash(labels::POD_TEMPLATE_HASH) {
                (name, WorkloadKind::Deployment)
            } else if let Some(name) = without_hash(labels::ROLLOUTS_POD_TEMPLATE_HASH) {
                (name, WorkloadKind::Rollout)
            } else {
                (owner.name.as_str(), WorkloadKind::Owner(owner.kind.clone()))
            }
        }
        "ReplicationController" => match present(pod, labels::DEPLOYMENT_CONFIG) {
            Some(name) => (name, WorkloadKind::DeploymentConfig),
            None => (owner.name.as_str(), WorkloadKind::Owner(owner.kind.clone())),
        },
        "Job" => match cron_job_name(&owner.name) {
            Some(name) => (name, WorkloadKind::CronJob),
            None => (owner.name.as_str(), WorkloadKind::Owner(owner.kind.clone())),
        },
        kind => (owner.name.as_str(), WorkloadKind::Owner(kind.to_owned())),
    };
    WorkloadName { name: name.to_owned(), kind }
}

/// The CronJob behind a Job whose name ends in the time of its run: 8 to 10 digits.
fn cron_job_name(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|byte| byte.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::Rollout => "Rollout",
            Self::DeploymentConfig => "DeploymentConfig",
            Self::CronJob => "CronJob",
            Self::Owner(kind) => kind,
        })
    }
}
