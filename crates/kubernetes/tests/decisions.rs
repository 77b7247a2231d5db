//! Enrolment and names: every rule, pod against namespace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ambit_kubernetes::{
    Enrolment, Metadata, Namespace, NotEnrolledReason, OwnerReference, Pod, PodPhase, WorkloadKind,
    WorkloadSelector, annotations, canonical_name, canonical_revision, enrolled, labels, matches,
    workload_name,
};

fn pod(namespace: &str, mode: Option<&str>) -> Pod {
    let mut pod = Pod { metadata: Metadata::named(namespace, "web-1"), ..Pod::default() };
    pod.metadata.labels.extend(mode.map(|mode| (labels::DATAPLANE_MODE.to_owned(), mode.to_owned())));
    pod
}

fn namespace(mode: Option<&str>) -> Namespace {
    let mut namespace = Namespace { metadata: Metadata::named("", "shop") };
    namespace.metadata.labels.extend(mode.map(|mode| (labels::DATAPLANE_MODE.to_owned(), mode.to_owned())));
    namespace
}

#[test]
fn labels_decide_and_the_pods_own_wins() {
    use NotEnrolledReason::{NotLabelled, OptedOut};
    for (own, inherited, expected) in [
        (None, None, Some(NotLabelled)),
        (None, Some("none"), Some(NotLabelled)),
        (None, Some("ambient"), None),
        (Some("ambient"), None, None),
        (Some("ambient"), Some("none"), None),
        (Some("ambient"), Some("ambient"), None),
        (Some("none"), None, Some(OptedOut)),
        (Some("none"), Some("ambient"), Some(OptedOut)),
    ] {
        let expected = expected.map_or(Enrolment::Enrolled, Enrolment::NotEnrolled);
        assert_eq!(
            enrolled(&pod("shop", own), Some(&namespace(inherited))),
            expected,
            "{own:?} {inherited:?}"
        );
    }
    assert_eq!(enrolled(&pod("shop", None), None), Enrolment::NotEnrolled(NotLabelled));
    assert!(enrolled(&pod("shop", Some("ambient")), None).is_enrolled());
}

#[test]
fn what_cannot_be_captured_stays_out_whatever_the_labels_say() {
    let ambient = namespace(Some("ambient"));
    let reason = |pod: &Pod| enrolled(pod, Some(&ambient));
    let mut host = pod("shop", Some("ambient"));
    host.spec.host_network = true;
    host.metadata.annotations.insert(annotations::SIDECAR_STATUS.to_owned(), String::new());
    assert_eq!(reason(&host), Enrolment::NotEnrolled(NotEnrolledReason::HostNetwork));
    host.spec.host_network = false;
    assert_eq!(reason(&host), Enrolment::NotEnrolled(NotEnrolledReason::Sidecar));
    for (phase, out) in [
        (PodPhase::Pending, false),
        (PodPhase::Running, false),
        (PodPhase::Unknown, false),
        (PodPhase::Succeeded, true),
        (PodPhase::Failed, true),
    ] {
        let mut ended = pod("shop", Some("ambient"));
        ended.status.phase = Some(phase);
        assert_eq!(reason(&ended) == Enrolment::NotEnrolled(NotEnrolledReason::Ended), out, "{phase:?}");
        assert_eq!(reason(&ended).is_enrolled(), !out);
    }
    let system = pod("kube-system", Some("ambient"));
    assert_eq!(reason(&system), Enrolment::NotEnrolled(NotEnrolledReason::ExcludedNamespace));
}

fn owned(kind: &str, owner: &str, extra: &[(&str, &str)]) -> Pod {
    let mut pod = pod("shop", None);
    pod.metadata.generate_name = Some(format!("{owner}-"));
    pod.metadata.owner_references = vec![
        OwnerReference {
            kind: "Other".to_owned(),
            name: "not-the-controller".to_owned(),
            ..Default::default()
        },
        OwnerReference {
            kind: kind.to_owned(),
            name: owner.to_owned(),
            controller: true,
            ..Default::default()
        },
    ];
    pod.metadata.labels.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    pod
}

#[test]
fn workload_names() {
    let other = |kind: &str| WorkloadKind::Owner(kind.to_owned());
    for (pod, name, kind) in [
        (pod("shop", None), "web-1", WorkloadKind::Pod),
        (owned("ReplicaSet", "web-5c6", &[("pod-template-hash", "5c6")]), "web", WorkloadKind::Deployment),
        (owned("ReplicaSet", "web-5c6", &[("pod-template-hash", "777")]), "web-5c6", other("ReplicaSet")),
        (
            owned("ReplicaSet", "web-5c6", &[("rollouts-pod-template-hash", "5c6")]),
            "web",
            WorkloadKind::Rollout,
        ),
        (
            owned("ReplicationController", "web-3", &[("deploymentconfig", "web")]),
            "web",
            WorkloadKind::DeploymentConfig,
        ),
        (owned("ReplicationController", "web-3", &[]), "web-3", other("ReplicationController")),
        (owned("Job", "report-28512345", &[]), "report", WorkloadKind::CronJob),
        (owned("Job", "report-1234567", &[]), "report-1234567", other("Job")),
        (owned("Job", "report-12345678901", &[]), "report-12345678901", other("Job")),
        (owned("Job", "28512345", &[]), "28512345", other("Job")),
        (owned("StatefulSet", "db", &[]), "db", other("StatefulSet")),
        (
            owned("StatefulSet", "db", &[("service.istio.io/workload-name", "base")]),
            "base",
            other("StatefulSet"),
        ),
        (owned("StatefulSet", "", &[]), "web-1", other("StatefulSet")),
    ] {
        let workload = workload_name(&pod);
        assert_eq!((workload.name.as_str(), &workload.kind), (name, &kind));
    }
    let mut adopted = owned("StatefulSet", "db", &[]);
    adopted.metadata.generate_name = None;
    assert_eq!(
        workload_name(&adopted).name,
        "web-1",
        "a name that was not generated says nothing about its owner"
    );
}

#[test]
fn canonical_names_take_the_first_label_there_is() {
    let mut pod = owned("StatefulSet", "db", &[]);
    assert_eq!((canonical_name(&pod).as_str(), canonical_revision(&pod)), ("db", "latest"));
    let steps = [
        ("app", "version", "c"),
        ("app.kubernetes.io/name", "app.kubernetes.io/version", "b"),
        ("service.istio.io/canonical-name", "service.istio.io/canonical-revision", "a"),
    ];
    for (name, revision, value) in steps {
        pod.metadata.labels.insert(name.to_owned(), format!("n{value}"));
        pod.metadata.labels.insert(revision.to_owned(), format!("r{value}"));
        assert_eq!(canonical_name(&pod), format!("n{value}"));
        assert_eq!(canonical_revision(&pod), format!("r{value}"));
    }
}

#[test]
fn selectors() {
    let labels = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect::<std::collections::BTreeMap<_, _>>()
    };
    let all = labels(&[("app", "web"), ("tier", "front")]);
    assert!(matches(&labels(&[("app", "web")]), &all));
    assert!(!matches(&labels(&[("app", "web"), ("tier", "back")]), &all));
    assert!(!matches(&labels(&[("absent", "")]), &all));
    assert!(WorkloadSelector::default().matches(&all));
}
