//! Pods, services and what is said beside them.

use crate::{complaints, only, pod};

#[test]
fn pods() {
    only(
        &pod("  annotations:\n    ambit.mesh/netns: run/netns/web\n"),
        "shop.yaml:7: Pod default/web: metadata.annotations[\"ambit.mesh/netns\"]: \"run/netns/web\" is not an absolute path; name the namespace's file, such as /run/netns/web, without ..",
    );
    only(
        &pod("  annotations:\n    ambient.istio.io/dns-capture: \"maybe\"\n"),
        "shop.yaml:7: Pod default/web: metadata.annotations[\"ambient.istio.io/dns-capture\"]: \"maybe\" is not a boolean; use \"true\" or \"false\"",
    );
    only(
        &pod("spec:\n  containers:\n  - name: web\n    ports:\n    - containerPort: 70000\n"),
        "shop.yaml:10: Pod default/web: spec.containers[0].ports[0].containerPort: port 70000 is out of range; use a port from 1 to 65535",
    );
    only(
        &pod("spec:\n  containers:\n  - name: web\n    ports:\n    - name: http\n"),
        "shop.yaml:10: Pod default/web: spec.containers[0].ports[0]: containerPort is missing; set it",
    );
    only(
        &pod("spec:\n  hostNetwork: maybe\n"),
        "shop.yaml:7: Pod default/web: spec.hostNetwork: \"maybe\" is not true or false; write true or false",
    );
    only(
        &pod("spec:\n  containers: {}\n"),
        "shop.yaml:7: Pod default/web: spec.containers: a map is not a list; write a list",
    );
    only(
        &pod("spec:\n  serviceAccountName: a/b\n"),
        "shop.yaml:7: Pod default/web: spec.serviceAccountName: \"a/b\" is not a DNS name; use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
    );
    only(
        &pod("status:\n  phase: Jogging\n"),
        "shop.yaml:7: Pod default/web: status.phase: \"Jogging\" is not a known value; use one of Pending, Running, Succeeded, Failed, Unknown",
    );
    only(
        &pod("status:\n  podIP: 10.0.0.256\n"),
        "shop.yaml:7: Pod default/web: status.podIP: \"10.0.0.256\" is not an IP address; write one such as 10.0.0.1 or fd00::1",
    );
    only(
        &pod("status:\n  podIPs:\n  - ip: 127.0.0.1\n"),
        "shop.yaml:8: Pod default/web: status.podIPs[0].ip: 127.0.0.1 cannot be a pod's or Service's address; use a unicast address of the pod network",
    );
    only(
        &pod("status:\n  podIPs:\n  - ip: ::ffff:10.0.0.1\n"),
        "shop.yaml:8: Pod default/web: status.podIPs[0].ip: ::ffff:10.0.0.1 is an IPv4 address in IPv6 form; write it as IPv4",
    );
    only(
        &pod("status:\n  podIP: 10.0.0.1\n  podIPs:\n  - ip: 10.0.0.2\n"),
        "shop.yaml:7: Pod default/web: status.podIP: 10.0.0.1 is not among podIPs; list it there too",
    );
}

#[test]
fn services_and_slices() {
    let service = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: cart, namespace: default}}\nspec:\n{spec}")
    };
    only(
        &service("  ports:\n  - port: 0\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].port: port 0 is out of range; use a port from 1 to 65535",
    );
    only(
        &service("  ports:\n  - {port: 80, targetPort: 65536}\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].targetPort: port 65536 is out of range; use a port from 1 to 65535",
    );
    only(
        &service("  ports:\n  - {port: 80, targetPort: \"8080\"}\n"),
        "shop.yaml:6: Service default/cart: spec.ports[0].targetPort: \"8080\" is not a port name; use at most 15 of a-z, 0-9 and single -, with at least one letter",
    );
    only(
        &service("  ports:\n  - {port: 80, name: a}\n  - {port: 81}\n"),
        "shop.yaml:7: Service default/cart: spec.ports[1].name: one port of several has no name; name every port",
    );
    only(
        &service("  clusterIP: none\n"),
        "shop.yaml:5: Service default/cart: spec.clusterIP: \"none\" is not an IP address; write one such as 10.0.0.1 or fd00::1",
    );
    only(
        &service("  type: ExternalName\n"),
        "shop.yaml:4: Service default/cart: spec: a Service of type ExternalName has no externalName; set spec.externalName",
    );
    let slice = |rest: &str| {
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: cart-1, namespace: default}}\n{rest}"
        )
    };
    only(&slice(""), "shop.yaml:1: EndpointSlice default/cart-1: addressType is missing; set it");
    only(
        &slice("addressType: IPv4\nendpoints:\n- addresses: [fd00::1]\n"),
        "shop.yaml:6: EndpointSlice default/cart-1: endpoints[0].addresses[0]: fd00::1 does not fit addressType IPv4; use a slice of the other type",
    );
}

#[test]
fn unknown_annotations_of_this_mesh() {
    for key in ["ambit.mesh/netn", "Ambit.Mesh/netns", "ambit.mesh/"] {
        only(
            &pod(&format!("  annotations:\n    team: shop\n    {key}: /run/netns/web\n")),
            &format!(
                "shop.yaml:8: Pod default/web: metadata.annotations[\"{key}\"]: unknown annotation \"{key}\"; the only one of this mesh is ambit.mesh/netns"
            ),
        );
    }
    assert!(
        complaints(&pod("  annotations: {ambit.mesh/netns: /run/netns/web, other.mesh/netn: a}\n"))
            .is_empty()
    );
}

#[test]
fn misspelt_fields_of_core_kinds() {
    for (rest, line, path, found, meant) in [
        ("spec:\n  serviceAccountNam: web\n", 7, "spec", "serviceAccountNam", "serviceAccountName"),
        ("spec:\n  serivceAccountName: web\n", 7, "spec", "serivceAccountName", "serviceAccountName"),
        ("spec:\n  nodename: one\n", 7, "spec", "nodename", "nodeName"),
        ("spec:\n  hostnetwork: true\n", 7, "spec", "hostnetwork", "hostNetwork"),
        ("status:\n  podIp: 10.0.0.1\n", 7, "status", "podIp", "podIP"),
        ("status: {podIPs: [{ip: 10.0.0.1}, {IP: fd00::1}]}\n", 6, "status.podIPs[1]", "IP", "ip"),
        ("  label: {app: web}\n", 6, "metadata", "label", "labels"),
        ("  anotations: {a: b}\n", 6, "metadata", "anotations", "annotations"),
    ] {
        let expected = format!(
            "shop.yaml:{line}: Pod default/web: {path}: unknown field \"{found}\"; did you mean {meant}?"
        );
        only(&pod(rest), &expected);
    }
    only(
        &pod("Spec: {serviceAccountName: web}\n"),
        "shop.yaml:6: Pod default/web: unknown field \"Spec\"; did you mean spec?",
    );
    only(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec:\n  clusterIp: 10.96.0.1\n",
        "shop.yaml:5: Service default/web: spec: unknown field \"clusterIp\"; did you mean clusterIP?",
    );
    only(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec:\n  ports: [{port: 80, targetport: 8080}]\n",
        "shop.yaml:5: Service default/web: spec.ports[0]: unknown field \"targetport\"; did you mean targetPort?",
    );
}

#[test]
fn fields_of_kubernetes_are_never_misspelt_ones() {
    let metadata = "  uid: u\n  generation: 1\n  selfLink: /a\n  generateName: web-\n  finalizers: [a]\n  labels: {label: a, lables: b}\n  annotations: {annotation: a, anotations: b}\n";
    let spec = "spec: {serviceAccount: web, hostPID: true, hostIPC: true, hostname: a, hostUsers: true, nodeSelector: {nodename: a}, ephemeralContainers: [], containers: [{name: a, restartPolicy: Always, ports: [{containerPort: 1, hostPort: 1, hostIP: 10.0.0.1}]}]}\n";
    let status = "status: {hostIP: 10.0.0.9, hostIPs: [{ip: 10.0.0.9}], podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], initContainerStatuses: [], containerStatuses: []}\n";
    assert_eq!(complaints(&pod(&format!("{metadata}{spec}{status}"))), [""; 0]);
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], externalIPs: [192.0.2.1], ipFamilies: [IPv4], ipFamily: IPv4, ipFamilyPolicy: SingleStack, externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster, ports: [{port: 80, nodePort: 30000}]}\nstatus: {loadBalancer: {}}\n";
    assert_eq!(complaints(service), [""; 0]);
    let node = "apiVersion: v1\nkind: Node\nmetadata: {name: one}\nspec: {podCIDR: 10.0.0.0/24, podCIDRs: [10.0.0.0/24]}\nstatus: {addresses: [], images: []}\n";
    assert_eq!(complaints(node), [""; 0]);
    assert_eq!(complaints(&pod("spec: {somethingNew: 1, nodename: }\n")), [""; 0], "unknown, and absent");
}
