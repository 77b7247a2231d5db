//! Wrong surroundings: paths, ports, tokens, roots, privileges.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use ambit_tests::certificates::other_root;
use ambit_tests::client;
use ambit_tests::mesh::Mesh;
use ambit_tests::pod::PodSpec;
use ambit_tests::process::{Process, command, program};
use ambit_tests::runner::Test;
use ambit_tests::server::Server;
use ambit_tests::topology::Side;

pub(crate) const TESTS: &[Test] = &[
    ("the_controller_names_what_it_lacks", the_controller_names_what_it_lacks),
    ("the_agent_names_what_it_lacks", the_agent_names_what_it_lacks),
    ("the_proxy_names_what_it_lacks", the_proxy_names_what_it_lacks),
    ("a_wrong_token_and_a_wrong_root_are_named", a_wrong_token_and_a_wrong_root_are_named),
    ("a_pod_without_its_namespace_harms_no_other", a_pod_without_its_namespace_harms_no_other),
    ("a_missing_privilege_is_named", a_missing_privilege_is_named),
];

/// Runs a command to its end: it fails, and one line of what it says holds every one of `parts`.
#[track_caller]
fn fails(mesh: &Mesh, code: i32, command: &mut Command, parts: &[&str]) {
    let what = format!("{command:?}");
    let mut process = Process::start("a wrong call", mesh.node(Side::A), command);
    let ended = process.ended();
    let lines = process.lines();
    assert_eq!(ended.code(), Some(code), "{what}: {lines:?}");
    // The log may have begun, in another stream; the trouble is told in one line.
    let told = lines.iter().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    assert_eq!(told, 1, "{what}: {lines:?}");
}

fn taken(mesh: &Mesh, port: u16) -> (TcpListener, SocketAddr) {
    let address: SocketAddr = (Side::A.address(), port).into();
    (mesh.node(Side::A).run(|| TcpListener::bind(address)).unwrap().unwrap(), address)
}

fn the_controller_names_what_it_lacks() {
    let mesh = Mesh::new("lacks-controller");
    let (_taken, address) = taken(&mesh, 7000);
    let path = |name: &str| mesh.directory.join(name).display().to_string();
    let (config, state) = (path("config"), path("state"));
    let call = |arguments: &[&str]| {
        let mut call = command("controller");
        call.args(arguments);
        call
    };
    let serve = |config: &str, state: &str, listen: &str| {
        call(&["--config", config, "--state", state, "--listen", listen])
    };
    let (missing, file) = (path("missing"), path("file"));
    fs::write(&file, "").unwrap();
    fails(
        &mesh,
        1,
        &mut serve(&missing, &state, "127.0.0.1:0"),
        &[&missing, "create it, or name another with --config"],
    );
    fails(&mesh, 1, &mut serve(&file, &state, "127.0.0.1:0"), &[&file, "is not a directory"]);
    fails(
        &mesh,
        1,
        &mut serve(&config, &file, "127.0.0.1:0"),
        &[&file, "is not a directory; name another with --state"],
    );
    fails(
        &mesh,
        1,
        &mut serve(&config, "/proc/nowhere", "127.0.0.1:0"),
        &["/proc/nowhere", "cannot be created", "--state"],
    );
    fails(
        &mesh,
        1,
        &mut serve(&config, &state, &address.to_string()),
        &[&address.to_string(), "is taken: stop the process that listens there"],
    );
    fails(&mesh, 1, &mut serve(&config, &state, "198.51.100.1:15012"), &["198.51.100.1"]);
    fails(
        &mesh,
        1,
        &mut call(&["token", "--node", "node-a", "--state", &state, "--out", "/proc/nowhere/token"]),
        &["/proc/nowhere/token", "--out"],
    );
    // Usage: clap tells it in several lines, the first of which names the argument.
    for (arguments, named) in [
        (vec!["--config", &config, "--state", &state, "--listen", "here"], "'here'"),
        (vec!["--config", &config, "--state", &state], "--listen"),
        (vec!["token", "--node", "Node A", "--state", &state], "is not a node name"),
        (vec!["--confg", &config], "--confg"),
    ] {
        let mut process = Process::start("usage", mesh.node(Side::A), &mut call(&arguments));
        assert_eq!(process.ended().code(), Some(2), "{arguments:?}");
        assert!(process.lines().concat().contains(named), "{arguments:?}: {:?}", process.lines());
    }
    // Keys that others could have read are not used.
    let mut token = Process::start(
        "token",
        mesh.node(Side::A),
        &mut call(&["token", "--node", "node-a", "--state", &state]),
    );
    assert!(token.ended().success() && token.lines().len() == 1, "{:?}", token.lines());
    let key = mesh.state().join("token-key");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let key = key.display().to_string();
    fails(&mesh, 1, &mut serve(&config, &state, "127.0.0.1:0"), &[&key, "chmod 600"]);
}

fn the_agent_names_what_it_lacks() {
    let mesh = Mesh::new("lacks-agent");
    let path = |name: &str| mesh.directory.join(name).display().to_string();
    let (config, missing, open) = (path("config"), path("missing"), path("open"));
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let socket = format!("{open}/ztunnel.sock");
    let (_taken, address) = taken(&mesh, 7001);
    let call = |config: &str, zds: &str, further: &[&str]| {
        let mut call = command("ambit-agent");
        call.args(["--config", config, "--node", "node-a", "--zds", zds]).args(further);
        call
    };
    let good = path("node-a/zds/ztunnel.sock");
    fails(&mesh, 1, &mut call(&missing, &good, &[]), &[&missing, "create it, or name another"]);
    fails(&mesh, 1, &mut call(&config, &socket, &[]), &[&open, "chmod o-w"]);
    let address = address.to_string();
    fails(
        &mesh,
        1,
        &mut call(&config, &good, &["--admin", &address]),
        &[&address, "is taken: stop the process that listens there"],
    );
    for (further, named) in [
        (["--rules", "ebpf"], "nftables"),
        (["--repair-interval", "1ms"], "100ms"),
        (["--controller", "h:1"], "--token"),
    ] {
        let mut process = Process::start("usage", mesh.node(Side::A), &mut call(&config, &good, &further));
        assert_eq!(process.ended().code(), Some(2), "{further:?}");
        assert!(process.lines().concat().contains(named), "{further:?}: {:?}", process.lines());
    }
}

fn the_proxy_names_what_it_lacks() {
    let mesh = Mesh::new("lacks-ztunnel");
    let (_taken, _) = taken(&mesh, 15021);
    let call = |variables: &[(&str, &str)]| {
        let mut call = command("ztunnel");
        call.envs(variables.iter().copied());
        call
    };
    let address = ("XDS_ADDRESS", "https://192.168.77.1:15012");
    fails(&mesh, 1, &mut call(&[address]), &["NODE_NAME", "it says whose pods this proxy serves"]);
    let node = ("NODE_NAME", "node-a");
    fails(
        &mesh,
        1,
        &mut call(&[node, ("XDS_ADDRESS", "http://192.168.77.1:15010")]),
        &["XDS_ADDRESS", "never taken from an unencrypted port"],
    );
    fails(&mesh, 1, &mut call(&[node, ("SECRET_TTL", "soon")]), &["SECRET_TTL", "soon"]);
    fails(&mesh, 1, &mut call(&[node, address, ("AMBIT_ADMIN_PROT", "1")]), &["AMBIT_ADMIN_PROT"]);
    fails(&mesh, 1, &mut call(&[node, address]), &["15021", "is taken: stop the process that listens there"]);
    let mut wrong = call(&[node]);
    wrong.arg("--help-me");
    fails(&mesh, 1, &mut wrong, &["--help-me", "environment variables"]);
}

fn a_wrong_token_and_a_wrong_root_are_named() {
    let mut mesh = Mesh::new("wrong-credentials");
    mesh.start_controller();
    let other = other_root(&mesh.directory.join("other"));
    let other = other.certificate.display().to_string();
    mesh.settings.insert("XDS_ROOT_CA".into(), other.clone());
    mesh.start_ztunnel(Side::A);
    mesh.ztunnel(Side::A).said(&[
        "has a certificate of another CA than",
        &other,
        "use the root-cert.pem of that controller",
    ]);
    mesh.kill_ztunnel(Side::A);

    let token = mesh.directory.join("wrong-token");
    fs::write(&token, "not-a-token\n").unwrap();
    mesh.settings.clear();
    mesh.settings.insert("AUTH_TOKEN".into(), token.display().to_string());
    mesh.start_ztunnel(Side::A);
    mesh.ztunnel(Side::A).said(&["this call needs a valid node token", "controller token --node NAME"]);
    mesh.controller().said(&["unauthenticated call refused", "not a compact JWT"]);
    mesh.kill_ztunnel(Side::A);

    mesh.settings.insert("AUTH_TOKEN".into(), "/proc/nowhere/token".into());
    mesh.start_ztunnel(Side::A);
    mesh.ztunnel(Side::A).said(&["/proc/nowhere/token", "create one for this node"]);
    mesh.kill_ztunnel(Side::A);

    // The agent's reports, with the same mistakes.
    for (arguments, parts) in [
        (["--root".to_owned(), other], ["another CA", "root-cert.pem"]),
        (["--token".to_owned(), token.display().to_string()], ["token", "controller token --node"]),
    ] {
        let mut agent = mesh.agent_command(Side::A);
        agent.arg("--zds").arg(mesh.directory.join("node-a/zds/ztunnel.sock"));
        agent.args(["--admin", "off", "--controller", &Mesh::controller_address().to_string()]);
        for (name, usual) in [("--token", mesh.token(Side::A)), ("--root", mesh.root())] {
            let value = if arguments[0] == name { arguments[1].clone() } else { usual.display().to_string() };
            agent.args([name, &value]);
        }
        let agent = Process::start("agent", mesh.node(Side::A), &mut agent);
        agent.said(&parts);
    }
}

fn a_pod_without_its_namespace_harms_no_other() {
    let mut mesh = Mesh::started("no-namespace");
    let (web, cart) = (mesh.pod("web", Side::A), mesh.pod("cart", Side::B));
    let ghost = |path: &str, name: &str| {
        let spec = PodSpec::new(name, Side::A);
        let place = ambit_tests::topology::Place {
            v4: "10.77.1.250".parse().unwrap(),
            v6: "fd77:0:0:1::fa".parse().unwrap(),
            ..web.place.clone()
        };
        spec.yaml(&format!("uid-{name}"), &place, path.as_ref())
    };
    let file = mesh.directory.join("no-namespace-but-a-file");
    fs::write(&file, "").unwrap();
    for (name, path, parts) in [
        (
            "ghost",
            "/run/netns/ghost",
            vec!["does not exist", "create it (ip netns add NAME) or correct the path"],
        ),
        ("file", file.to_str().unwrap(), vec!["is not a network namespace"]),
        ("mount", "/proc/self/ns/mnt", vec!["is a mnt namespace, not a network namespace"]),
        ("own", "/proc/self/ns/net", vec!["own network namespace", "name the pod's namespace"]),
    ] {
        mesh.apply("pod-ghost", &ghost(path, name));
        mesh.agent(Side::A).said(&[&[format!("shop/{name}").as_str(), path], parts.as_slice()].concat());
    }
    mesh.settled();
    let _server = Server::echo(cart.netns(), 8080);
    assert!(client::passes(web.netns(), cart.at(8080)));
    // The namespace of another pod is nobody else's.
    mesh.apply("pod-ghost", &ghost(web.path.to_str().unwrap(), "thief"));
    mesh.agent(Side::A).said(&["shop/thief", "shop/web"]);
    assert!(client::passes(web.netns(), cart.at(8080)));
}

fn a_missing_privilege_is_named() {
    let mesh = Mesh::new("no-privilege");
    let agent = program("ambit-agent");
    let mut call = Command::new("setpriv");
    call.args(["--bounding-set=-all", "--inh-caps=-all", "--"]).arg(agent);
    call.arg("--config").arg(mesh.config()).args(["--node", "node-a", "--admin", "off", "--zds"]);
    call.arg(mesh.directory.join("node-a/zds/ztunnel.sock"));
    fails(&mesh, 1, &mut call, &["CAP_NET_ADMIN"]);
}
