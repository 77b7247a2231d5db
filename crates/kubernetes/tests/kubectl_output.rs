//! Objects as `kubectl get -o yaml` prints them, and directories as people keep them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::Path;

use ambit_kubernetes::{
    AddressType, ClusterIp, InternalTrafficPolicy, IpFamily, Kind, Limits, NoteKind, Object, Pod, PodPhase,
    PortRef, Protocol, Resources, Service, annotations, canonical_name, canonical_revision, enrolled, labels,
    read_directory, read_directory_with, read_text, target_port, validate_set, workload_name,
};

const POD: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  annotations:
    ambient.istio.io/redirection: enabled
    kubectl.kubernetes.io/restartedAt: "2026-03-01T10:00:00+01:00"
  creationTimestamp: "2026-03-01T09:00:03Z"
  generateName: cart-7d9f8b6c5d-
  labels:
    app.kubernetes.io/name: cart
    pod-template-hash: 7d9f8b6c5d
    version: "2"
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:labels:
          .: {}
          f:pod-template-hash: {}
    manager: kube-controller-manager
    operation: Update
    time: "2026-03-01T09:00:03Z"
  name: cart-7d9f8b6c5d-x2x4q
  namespace: shop
  ownerReferences:
  - apiVersion: apps/v1
    blockOwnerDeletion: true
    controller: true
    kind: ReplicaSet
    name: cart-7d9f8b6c5d
    uid: 4b1c6f0e-1111-2222-3333-444455556666
  resourceVersion: "20417"
  uid: 0c2ad0e4-aaaa-bbbb-cccc-ddddeeeeffff
spec:
  containers:
  - args: [--listen=:8080]
    env:
    - name: LIMIT
      value: "10"
    image: registry.example/cart:2
    imagePullPolicy: IfNotPresent
    livenessProbe: {httpGet: {path: /live, port: 8080, scheme: HTTP}, periodSeconds: 10}
    name: cart
    ports:
    - containerPort: 8080
      name: http
      protocol: TCP
    - containerPort: 8081
      name: admin
      protocol: UDP
    resources:
      limits: {cpu: "1", memory: 128Mi}
    volumeMounts:
    - mountPath: /var/run/secrets/kubernetes.io/serviceaccount
      name: kube-api-access-abcde
      readOnly: true
  dnsPolicy: ClusterFirst
  initContainers:
  - name: proxy
    restartPolicy: Always
    ports:
    - {containerPort: 9090, name: metrics}
  - name: migrate
    ports:
    - {containerPort: 9091, name: once}
  nodeName: node-a
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  serviceAccount: cart
  serviceAccountName: cart
  tolerations:
  - {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
status:
  conditions:
  - lastProbeTime: null
    lastTransitionTime: "2026-03-01T09:00:05Z"
    status: "True"
    type: Initialized
  - lastProbeTime: null
    lastTransitionTime: "2026-03-01T09:00:06Z"
    status: "True"
    type: Ready
  containerStatuses:
  - {containerID: containerd://abc, ready: true, restartCount: 0, state: {running: {startedAt: "2026-03-01T09:00:05Z"}}}
  hostIP: 192.168.1.10
  hostIPs:
  - ip: 192.168.1.10
  phase: Running
  podIP: 10.244.1.7
  podIPs:
  - ip: 10.244.1.7
  - ip: fd00:10:244:1::7
  qosClass: Burstable
  startTime: "2026-03-01T09:00:03Z"
"#;

const SERVICE: &str = r#"
apiVersion: v1
kind: Service
metadata:
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","kind":"Service","metadata":{"annotations":{},"name":"cart","namespace":"shop"},"spec":{"ports":[{"port":80}]}}
  creationTimestamp: "2026-03-01T08:59:00Z"
  name: cart
  namespace: shop
spec:
  clusterIP: 10.96.12.7
  clusterIPs:
  - 10.96.12.7
  - fd00:10:96::c07
  internalTrafficPolicy: Local
  ipFamilies:
  - IPv4
  - IPv6
  ipFamilyPolicy: PreferDualStack
  ports:
  - appProtocol: kubernetes.io/h2c
    name: http
    port: 80
    protocol: TCP
    targetPort: http
  - name: metrics
    port: 9000
    targetPort: 9090
  publishNotReadyAddresses: true
  selector:
    app.kubernetes.io/name: cart
  sessionAffinity: None
  trafficDistribution: PreferClose
  type: ClusterIP
status:
  loadBalancer: {}
"#;

fn read(text: &str) -> Resources {
    match read_text(Path::new("all.yaml"), text) {
        Ok(resources) => resources,
        Err(problems) => {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        }
    }
}

fn pod(text: &str) -> Pod {
    let Object::Pod(pod) = read(text).objects.remove(0).object else { panic!("not a Pod") };
    Pod::clone(&pod)
}

fn service(text: &str) -> Service {
    let Object::Service(service) = read(text).objects.remove(0).object else { panic!("not a Service") };
    Service::clone(&service)
}

#[test]
fn a_pod_from_a_cluster() {
    let pod = pod(POD);
    assert_eq!(
        (pod.metadata.namespace.as_str(), pod.metadata.name.as_str()),
        ("shop", "cart-7d9f8b6c5d-x2x4q")
    );
    assert_eq!(pod.uid(), "0c2ad0e4-aaaa-bbbb-cccc-ddddeeeeffff");
    assert_eq!(pod.metadata.creation_timestamp.unwrap().to_string(), "2026-03-01T09:00:03Z");
    assert_eq!(pod.metadata.annotation(annotations::REDIRECTION), Some(annotations::REDIRECTION_ENABLED));
    assert_eq!(pod.metadata.label(labels::VERSION), Some("2"));
    assert_eq!(
        pod.addresses(),
        ["10.244.1.7".parse::<std::net::IpAddr>().unwrap(), "fd00:10:244:1::7".parse().unwrap()]
    );
    assert_eq!((pod.node(), pod.service_account()), (Some("node-a"), "cart"));
    assert_eq!(pod.status.phase, Some(PodPhase::Running));
    assert!(pod.is_ready() && !pod.is_terminal());
    assert_eq!(workload_name(&pod).name, "cart");
    assert_eq!(workload_name(&pod).kind.to_string(), "Deployment");
    assert_eq!((canonical_name(&pod).as_str(), canonical_revision(&pod)), ("cart", "2"));
    assert!(!enrolled(&pod, None).is_enrolled());
}

#[test]
fn a_service_from_a_cluster_and_its_ports_in_a_pod() {
    let service = service(SERVICE);
    assert_eq!(service.addresses().len(), 2);
    assert!(!service.is_headless());
    assert_eq!(service.spec.ip_families, [IpFamily::IPv4, IpFamily::IPv6]);
    assert_eq!(service.spec.internal_traffic_policy, InternalTrafficPolicy::Local);
    assert_eq!(service.spec.traffic_distribution.as_deref(), Some("PreferClose"));
    assert!(service.spec.publish_not_ready_addresses);
    let [http, metrics] = service.spec.ports.as_slice() else { panic!("{service:?}") };
    assert_eq!(http.target_port, Some(PortRef::Name("http".to_owned())));
    assert_eq!(http.app_protocol.as_deref(), Some("kubernetes.io/h2c"));
    assert_eq!(metrics.protocol, Protocol::Tcp);

    let pod = pod(POD);
    assert!(service.selects(&pod.metadata.labels));
    assert_eq!(target_port(&pod, http), Some(8080));
    assert_eq!(target_port(&pod, metrics), Some(9090));
    let named = |name: &str| {
        let port = ambit_kubernetes::ServicePort {
            target_port: Some(PortRef::Name(name.to_owned())),
            ..http.clone()
        };
        target_port(&pod, &port)
    };
    assert_eq!(named("metrics"), Some(9090), "a native sidecar's port");
    assert_eq!(named("once"), None, "a plain init container's port");
    assert_eq!(named("admin"), None, "a UDP port");
    let same = ambit_kubernetes::ServicePort { target_port: None, ..http.clone() };
    assert_eq!(target_port(&pod, &same), Some(80));
}

#[test]
fn headless_and_unassigned_services() {
    let text = |spec: &str| {
        format!("apiVersion: v1\nkind: Service\nmetadata: {{name: a, namespace: default}}\nspec: {spec}\n")
    };
    let headless = service(&text("{clusterIP: None, clusterIPs: [None]}"));
    assert!(headless.is_headless() && headless.addresses().is_empty());
    let unassigned = service(&text("{clusterIP: ''}"));
    assert_eq!(unassigned.spec.cluster_ip, ClusterIp::Unassigned);
    assert!(!unassigned.is_headless() && unassigned.addresses().is_empty());
    assert!(!unassigned.selects(&Default::default()), "no selector picks nothing");
}

#[test]
fn lists_streams_json_anchors_and_old_spellings() {
    let list = read(&format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n-{}-{}",
        indented(POD),
        indented(SERVICE)
    ));
    assert_eq!(
        list.objects.iter().map(|loaded| loaded.object.kind()).collect::<Vec<_>>(),
        [Kind::Pod, Kind::Service]
    );
    assert_eq!(list.objects[0].line, 6);

    let json = read(
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"default","labels":{"app":"a\/b\u00e9","n":null}},"spec":{"hostNetwork":true,"containers":null},"status":{}}"#,
    );
    let Object::Pod(pod) = &json.objects[0].object else { panic!() };
    assert_eq!(pod.metadata.label("app"), Some("a/bé"));
    assert_eq!(pod.metadata.label("n"), Some(""));
    assert!(pod.spec.host_network);

    let anchors = read(
        "apiVersion: v1\nkind: Pod\nmetadata: &m {name: web, namespace: default, labels: &l {app: web}}\nspec: {hostNetwork: yes}\n---\napiVersion: v1\nkind: Namespace\nmetadata:\n  labels: &l {team: red, app: x}\n  annotations: {<<: *l, app: blue}\n  name: default\n",
    );
    let Object::Namespace(namespace) = &anchors.objects[1].object else { panic!() };
    assert_eq!(namespace.metadata.annotation("team"), Some("red"));
    assert_eq!(
        namespace.metadata.annotation("app"),
        Some("blue"),
        "what is written out wins over what is merged"
    );

    let octal = read(
        "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: default}\nspec: {ports: [{port: 0120}]}\n",
    );
    let Object::Service(service) = &octal.objects[0].object else { panic!() };
    assert_eq!(service.spec.ports[0].port, 80, "as kubectl reads it");

    assert!(read("").objects.is_empty());
    assert!(read("# nothing\n---\n---\n# more\n...\n").objects.is_empty());
    assert_eq!(
        read("\u{feff}apiVersion: v1\r\nkind: Namespace\r\nmetadata:\r\n  name: shop\r\n").objects.len(),
        1
    );
}

/// The text as an item of a list: every line two further in, the first one behind its dash.
fn indented(text: &str) -> String {
    text.trim_end().lines().map(|line| format!("  {line}\n")).collect::<String>()
}

#[test]
fn other_kinds() {
    let slice = read(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: cart-abc\n  namespace: default\n  labels: {kubernetes.io/service-name: cart}\naddressType: IPv4\nendpoints:\n- addresses: [10.0.0.9]\n  conditions: {ready: false, serving: null}\n  targetRef: {kind: Pod, name: cart-1, namespace: default, uid: u1}\n  nodeName: node-a\n  zone: z1\n- addresses: [10.0.0.10]\nports:\n- {name: http, port: 8080, protocol: TCP}\n",
    );
    let Object::EndpointSlice(slice) = &slice.objects[0].object else { panic!() };
    assert_eq!((slice.address_type, slice.service_name()), (AddressType::IPv4, Some("cart")));
    assert_eq!(slice.endpoints.iter().map(|endpoint| endpoint.is_ready()).collect::<Vec<_>>(), [false, true]);
    assert_eq!(slice.endpoints[0].target_ref.as_ref().unwrap().uid.as_deref(), Some("u1"));
    assert_eq!(slice.endpoints[1].ips().count(), 1);
    assert_eq!(slice.ports[0].port, Some(8080));

    let node = read(
        "apiVersion: v1\nkind: Node\nmetadata: {name: node-a, labels: {topology.kubernetes.io/region: r, topology.kubernetes.io/zone: z, topology.istio.io/subzone: s}}\nspec: {podCIDRs: [10.244.1.0/24]}\nstatus: {addresses: [{type: Hostname, address: node-a}, {type: InternalIP, address: 192.168.1.10}]}\n",
    );
    let Object::Node(node) = &node.objects[0].object else { panic!() };
    assert_eq!((node.region(), node.zone(), node.subzone()), ("r", "z", "s"));
    assert_eq!(
        node.internal_ips().collect::<Vec<_>>(),
        ["192.168.1.10".parse::<std::net::IpAddr>().unwrap()]
    );
}

#[test]
fn what_is_left_out_is_said() {
    let resources = read(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: x}\n---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: web, namespace: shop}\n---\napiVersion: security.istio.io/v1beta1\nkind: AuthorizationPolicy\nmetadata: {name: l7, namespace: shop}\nspec: {action: AUDIT, rules: [{}]}\n",
    );
    let lines: Vec<String> = resources.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "all.yaml:1: Deployment shop/web: is not read by the mesh",
            "all.yaml:6: Sidecar shop/web: is not honoured yet: it has no effect on traffic",
            "all.yaml:10: AuthorizationPolicy shop/l7: is not honoured: without targetRefs only ALLOW and DENY are enforced",
        ]
    );
    assert_eq!(resources.notes[0].kind, NoteKind::NotOurs);
    assert_eq!(resources.notes[1].kind, NoteKind::NotHonoured);
}

#[test]
fn a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b.yml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: b}\n");
    write("a/z.json", "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\"}}");
    write("c.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: c}\n");
    for left_out in [".c.yaml.swp", ".hidden.yaml", ".git/x.yaml", "c.yaml~", "#c.yaml#", "README.md"] {
        write(left_out, "[");
    }
    let resources = read_directory(directory.path()).unwrap();
    let names: Vec<_> =
        resources.objects.iter().map(|loaded| loaded.object.metadata().name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(&*resources.objects[2].file, directory.path().join("c.yaml"));
    assert!(validate_set(&resources.objects).is_empty());

    write("d.yaml", "[");
    write("e.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: E}\n");
    fs::write(directory.path().join("f.yaml"), b"a: 1\nb: \xff\n").unwrap();
    let lines: Vec<String> =
        read_directory(directory.path()).unwrap_err().iter().map(ToString::to_string).collect();
    let place = |name: &str| directory.path().join(name).display().to_string();
    assert_eq!(
        lines,
        [
            format!("{}:1: not valid YAML: unclosed bracket '['; correct the syntax", place("d.yaml")),
            format!(
                "{}:3: Namespace E: metadata.name: \"E\" is not a DNS label; use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends",
                place("e.yaml")
            ),
            format!("{}:2: this line is not UTF-8 text; save the file as UTF-8", place("f.yaml")),
        ]
    );
}

#[test]
fn directories_that_cannot_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let only = |path: &Path, limits: &Limits| {
        let problems = read_directory_with(path, limits).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    };
    let missing = directory.path().join("missing");
    let line = only(&missing, &Limits::default());
    assert_eq!(
        line,
        format!(
            "{}: cannot be read: No such file or directory (os error 2); create it, or name another",
            missing.display()
        )
    );

    let file = directory.path().join("a.yaml");
    fs::write(&file, "apiVersion: v1\nkind: Namespace\nmetadata: {name: a}\n").unwrap();
    assert!(only(&file, &Limits::default()).ends_with("; name a directory"));
    let line = only(directory.path(), &Limits { file_bytes: 10, ..Limits::default() });
    assert_eq!(line, format!("{}: this file is longer than 10 bytes; split it", file.display()));
    let line = only(directory.path(), &Limits { values: 3, ..Limits::default() });
    assert_eq!(
        line,
        format!(
            "{}:2: more than 3 values, with aliases expanded; split the file, or use fewer aliases",
            file.display()
        )
    );
    assert!(only(directory.path(), &Limits { files: 0, ..Limits::default() }).contains("more than 0 files"));

    fs::write(directory.path().join("b.yaml"), "[").unwrap();
    let both = read_directory_with(directory.path(), &Limits { files: 1, ..Limits::default() }).unwrap_err();
    assert_eq!(both.len(), 1, "what is too many is not read: {both:?}");
    fs::remove_file(directory.path().join("b.yaml")).unwrap();

    let looped = directory.path().join("loop");
    std::os::unix::fs::symlink(directory.path(), &looped).unwrap();
    let line = only(directory.path(), &Limits::default());
    assert_eq!(
        line,
        format!("{}: this link leads back to a directory around it; remove it", looped.display())
    );
    fs::remove_file(&looped).unwrap();

    fs::create_dir(directory.path().join("x.yaml")).unwrap();
    assert_eq!(
        read_directory(directory.path()).unwrap().objects.len(),
        1,
        "a directory whose name looks like a file's"
    );
    std::os::unix::fs::symlink("/dev/zero", directory.path().join("y.yaml")).unwrap();
    assert!(
        only(directory.path(), &Limits::default())
            .ends_with("this is not a regular file; remove or rename it")
    );
    fs::remove_file(directory.path().join("y.yaml")).unwrap();
    std::os::unix::fs::symlink("gone.yaml", directory.path().join("y.yaml")).unwrap();
    assert!(only(directory.path(), &Limits::default()).contains("y.yaml: cannot be read: No such file"));
}
