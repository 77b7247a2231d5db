//! Which unknown field of a core object is most likely a known one misspelt.
//!
//! Kubernetes' fields that nobody here reads are ignored. But `serviceAccountNam` ignored is another identity, so what
//! looks like a field that is read, and is no field of Kubernetes, is refused.

/// The fields that Kubernetes has, by the type that reads the object: those not read here, and former ones.
///
/// From the reference of the API, up to 1.35: <https://kubernetes.io/docs/reference/kubernetes-api/>.
const FIELDS: [(&str, &[&str]); 23] = [
    ("Namespace", &["apiVersion", "kind", "spec", "status"]),
    ("Node", &["apiVersion", "kind"]),
    (
        "ServiceAccount",
        &["apiVersion", "kind", "secrets", "imagePullSecrets", "automountServiceAccountToken"],
    ),
    ("Pod", &["apiVersion", "kind"]),
    ("Service", &["apiVersion", "kind", "status"]),
    ("EndpointSlice", &["apiVersion", "kind"]),
    (
        "Metadata",
        &[
            "clusterName",
            "deletionGracePeriodSeconds",
            "finalizers",
            "generation",
            "initializers",
            "managedFields",
            "selfLink",
        ],
    ),
    ("OwnerReference", &["blockOwnerDeletion"]),
    ("PodSpec", POD_SPEC),
    ("Container", CONTAINER),
    ("InitContainer", CONTAINER),
    ("ContainerPort", &["hostIP", "hostPort"]),
    ("PodStatus", POD_STATUS),
    ("PodIp", &[]),
    ("PodCondition", &["lastProbeTime", "lastTransitionTime", "message", "observedGeneration", "reason"]),
    ("ServiceSpec", SERVICE_SPEC),
    ("ServicePort", &["nodePort"]),
    ("NodeSpec", &["configSource", "externalID", "podCIDR", "providerID", "taints", "unschedulable"]),
    ("Endpoint", &["deprecatedTopology", "hints", "hostname", "topology"]),
    ("EndpointConditions", &[]),
    ("ObjectReference", &["apiVersion", "fieldPath", "resourceVersion"]),
    ("EndpointPort", &[]),
    ("NodeAddress", &[]),
];

const POD_SPEC: &[&str] = &[
    "activeDeadlineSeconds",
    "affinity",
    "automountServiceAccountToken",
    "dnsConfig",
    "dnsPolicy",
    "enableServiceLinks",
    "ephemeralContainers",
    "hostAliases",
    "hostIPC",
    "hostPID",
    "hostUsers",
    "hostname",
    "hostnameOverride",
    "imagePullSecrets",
    "nodeSelector",
    "os",
    "overhead",
    "preemptionPolicy",
    "priority",
    "priorityClassName",
    "readinessGates",
    "resourceClaims",
    "resources",
    "restartPolicy",
    "runtimeClassName",
    "schedulerName",
    "schedulingGates",
    "schedulingGroup",
    "securityContext",
    "serviceAccount",
    "setHostnameAsFQDN",
    "shareProcessNamespace",
    "subdomain",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
    "volumes",
    "workloadRef",
];

const CONTAINER: &[&str] = &[
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "resizePolicy",
    "resources",
    "restartPolicy",
    "restartPolicyRules",
    "securityContext",
    "startupProbe",
    "stdin",
    "stdinOnce",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "tty",
    "volumeDevices",
    "volumeMounts",
    "workingDir",
];

const POD_STATUS: &[&str] = &[
    "allocatedResources",
    "containerStatuses",
    "ephemeralContainerStatuses",
    "extendedResourceClaimStatus",
    "hostIP",
    "hostIPs",
    "initContainerStatuses",
    "message",
    "nominatedNodeName",
    "observedGeneration",
    "qosClass",
    "reason",
    "resize",
    "resourceClaimStatuses",
    "resources",
    "startTime",
];

const SERVICE_SPEC: &[&str] = &[
    "allocateLoadBalancerNodePorts",
    "deprecatedPublicIPs",
    "externalIPs",
    "externalTrafficPolicy",
    "healthCheckNodePort",
    "ipFamily",
    "ipFamilyPolicy",
    "loadBalancerClass",
    "loadBalancerIP",
    "loadBalancerSourceRanges",
    "sessionAffinity",
    "sessionAffinityConfig",
    "topologyKeys",
];

/// The known field of a type that an unknown one is most likely meant to be; nothing for a field that Kubernetes has,
/// and for a type that is not listed.
///
/// Short names are near to many: up to 3 characters only upper and lower case may differ, up to 5 one edit more.
pub(super) fn meant(type_name: &str, field: &str, known: &[&'static str]) -> Option<&'static str> {
    let (_, others) = FIELDS.iter().find(|(name, _)| *name == type_name)?;
    if others.contains(&field) || known.contains(&field) {
        return None;
    }
    let near = |candidate: &&'static str| {
        let distance = distance(field, candidate)?;
        (distance <= tolerance(candidate)).then_some((distance, *candidate))
    };
    known.iter().filter_map(near).min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

fn tolerance(name: &str) -> usize {
    match name.len() {
        0..=3 => 0,
        4..=5 => 1,
        _ => MOST,
    }
}

/// Most edits that are looked for.
const MOST: usize = 2;

/// Characters to insert, remove or replace, upper and lower case being the same; nothing when surely more than [`MOST`].
fn distance(one: &str, other: &str) -> Option<usize> {
    if one.len().abs_diff(other.len()) > MOST {
        return None;
    }
    let other = other.as_bytes();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, mine) in one.bytes().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        let mut left = line + 1;
        next.push(left);
        for (theirs, pair) in other.iter().zip(row.windows(2)) {
            let [diagonal, above] = pair else { return None };
            let replaced = diagonal + usize::from(!mine.eq_ignore_ascii_case(theirs));
            left = replaced.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("nodename", "nodeName", Some(0)),
            ("serviceAccountNam", "serviceAccountName", Some(1)),
            ("serivceAccountName", "serviceAccountName", Some(2)),
            ("kitten", "sitting", Some(3)),
            ("serviceAccount", "serviceAccountName", None),
            ("", "ip", Some(2)),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn the_nearest_known_field_is_meant() {
        let known = &["podIP", "podIPs", "phase"];
        assert_eq!(meant("PodStatus", "podIp", known), Some("podIP"));
        assert_eq!(meant("PodStatus", "podips", known), Some("podIPs"));
        assert_eq!(meant("PodStatus", "hostIPs", known), None, "Kubernetes has it");
        assert_eq!(meant("PodStatus", "podIP", known), None);
        assert_eq!(meant("Somebody", "podIp", known), None);
        assert_eq!(meant("Metadata", "gid", &["uid"]), None, "short names are near to many");
        assert_eq!(meant("Metadata", "UID", &["uid"]), Some("uid"));
        assert_eq!(meant("ServiceSpec", "externalTrafficPolicy", &["internalTrafficPolicy"]), None);
    }
}
