//! The program itself: what it does, and one clear line for every wrong input.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use crate::fixture::{Mesh, SHOP};

fn controller(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_controller"));
    command.args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("LOG_FORMAT");
    command.output().unwrap()
}

/// The only line on standard error, of a program that ended with this code.
#[track_caller]
fn complaint(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim().to_owned()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn tokens_are_made_offline_and_kept_private() {
    let mesh = Mesh::new(&[]);
    let (state, out) = (mesh.state(), mesh.path("one.token"));
    let made = controller(&["token", "--node", "one", "--state", text(&state), "--out", text(&out)]);
    assert!(made.status.success() && made.stdout.is_empty(), "{made:?}");
    let said = format!(
        "made a new token key in {0}: only a controller with --state {0} accepts its tokens",
        text(&state)
    );
    assert_eq!(complaint(&made, 0), said);
    assert_eq!((mode(&state), mode(&out), mode(&state.join("token-key"))), (0o700, 0o600, 0o600));
    let printed = controller(&["token", "--node", "one", "--state", text(&state), "--lifetime", "90m"]);
    assert!(printed.stderr.is_empty(), "the key is not new: {printed:?}");
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed.trim().split('.').count(), 3);
    let written = std::fs::read(&out).unwrap();
    assert_ne!(printed.trim().as_bytes(), written);
    assert!(
        written.iter().all(u8::is_ascii_graphic),
        "Istio's ztunnel sends the file as a header, byte by byte"
    );

    for node in ["One", "", "a_b", "-a", "a..b", "a/b"] {
        let refused = controller(&["token", &format!("--node={node}"), "--state", text(&state)]);
        let said = String::from_utf8(refused.stderr.clone()).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("is not a node name"), "{said}");
    }
    let nowhere = mesh.path("no/such/file");
    let refused = controller(&["token", "--node", "one", "--state", text(&state), "--out", text(&nowhere)]);
    assert!(complaint(&refused, 1).contains("name another with --out"));
    let link = mesh.path("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    for file in [mesh.config(), link] {
        let refused = controller(&["token", "--node", "one", "--state", text(&state), "--out", text(&file)]);
        assert!(complaint(&refused, 1).contains("not a regular file"), "{file:?}");
    }
}

#[tokio::test]
async fn a_token_made_before_the_controller_ever_ran_opens_it() {
    let mut mesh = Mesh::new(&[("shop.yaml", SHOP)]);
    let out = mesh.path("one.token");
    let (state, out_text) = (mesh.state(), text(&out).to_owned());
    assert!(
        controller(&["token", "--node", "one", "--state", text(&state), "--out", &out_text]).status.success()
    );
    mesh.clock = std::time::SystemTime::now();
    mesh.restart().await.unwrap();
    let client = ambit_identity::AuthorityClient::new(mesh.channel(&out));
    let web = "spiffe://cluster.local/ns/shop/sa/web";
    crate::fixture::ask(&client, web, web, std::time::Duration::from_secs(60)).await.unwrap();
}

#[test]
fn check_says_what_is_wrong_and_where() {
    let mesh = Mesh::new(&[("shop.yaml", SHOP)]);
    let config = mesh.config();
    let good = controller(&["check", "--config", text(&config)]);
    assert!(good.status.success());
    assert_eq!(String::from_utf8(good.stdout).unwrap(), "valid: 1 Namespace, 2 Pod, 1 Service\n");
    mesh.write(
        "bad.yaml",
        "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: shop}\nstatus: {podIP: 10.0.0}\n",
    );
    let bad = controller(&["check", "--config", text(&config)]);
    let said = complaint(&bad, 1);
    assert!(said.contains("bad.yaml:4: Pod shop/a: status.podIP: \"10.0.0\" is not an IP address"), "{said}");
    let head =
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\n";
    mesh.write(
        "bad.yaml",
        &format!("{head}spec: {{action: CUSTOM, provider: {{name: p}}, rules: [{{}}]}}\n"),
    );
    let said = complaint(&controller(&["check", "--config", text(&config)]), 1);
    assert!(said.contains("bad.yaml:4: AuthorizationPolicy shop/a: spec."), "{said}");
    mesh.write("bad.yaml", &format!("{head}spec: {{targetRefs: [{{kind: Service, name: cat}}]}}\n"));
    let warned = controller(&["check", "--config", text(&config)]);
    let said = String::from_utf8(warned.stdout).unwrap();
    assert!(
        warned.status.success() && said.contains("(TargetNotFound): Service cat does not exist"),
        "{said}"
    );
}

#[test]
fn check_warns_of_a_directory_without_anything_to_read() {
    let mesh = Mesh::new(&[]);
    let config = mesh.config();
    let said = || {
        let output = controller(&["check", "--config", text(&config)]);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let start = format!("warning: {}: no .yaml, .yml or .json file is in it", text(&config));
    assert_eq!(said(), format!("{start}\nvalid: no objects\n"));
    for name in ["shop.yaml.txt", "b.toml", "a.YAML", ".hidden"] {
        mesh.write(name, SHOP);
    }
    std::fs::create_dir(config.join("more")).unwrap();
    assert_eq!(said(), format!("{start}; left out are a.YAML, b.toml, shop.yaml.txt\nvalid: no objects\n"));
    std::fs::write(config.join("more/notes\n"), "").unwrap();
    let expected =
        format!("{start}; left out are a.YAML, b.toml, more/notes\\n and 1 more\nvalid: no objects\n");
    assert_eq!(said(), expected);
    mesh.write("empty.yaml", "");
    assert_eq!(said(), "valid: no objects\n");
}

#[test]
fn wrong_inputs_end_with_one_line() {
    let mesh = Mesh::new(&[]);
    let (config, state) = (mesh.config(), mesh.state());
    let serve = |config: &Path, state: &Path, more: &[&str]| {
        let mut arguments = vec!["--config", text(config), "--state", text(state), "--admin", "off"];
        arguments.extend(more);
        controller(&arguments)
    };
    let listen = ["--listen", "127.0.0.1:0"];
    let said = complaint(&serve(&mesh.path("missing"), &state, &listen), 1);
    assert!(said.contains("missing") && said.contains("name another with --config"), "{said}");
    std::fs::write(mesh.path("file"), "").unwrap();
    let said = complaint(&serve(&mesh.path("file"), &state, &listen), 1);
    assert!(said.contains("is not a directory"), "{said}");
    let said = complaint(&serve(&config, &mesh.path("file"), &listen), 1);
    assert!(said.contains("is not a directory") && said.contains("--state"), "{said}");
    let said = complaint(&serve(&config, Path::new("/proc/state"), &listen), 1);
    assert!(said.contains("cannot be created"), "{said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = complaint(&serve(&config, &state, &["--listen", &address]), 1);
    assert!(said.contains(&format!("{address} is taken")), "{said}");
    let said = complaint(&serve(&config, &state, &["--listen", "192.0.2.1:1"]), 1);
    assert!(said.contains("is not an address of this network namespace"), "{said}");
    for (arguments, word) in [
        (vec!["--listen", "nonsense"], "nonsense"),
        (vec![], "--listen"),
        (vec!["--listen", "127.0.0.1:0", "--max-certificate-lifetime", "1"], "a unit"),
        (vec!["--listen", "127.0.0.1:0", "--frobnicate"], "--frobnicate"),
    ] {
        let output = serve(&config, &state, &arguments);
        let said = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    }
    for (arguments, word) in [
        (["--trust-domain", "Not_A/Domain"], "--trust-domain"),
        (["--server-name", "not a name"], "--server-name"),
        (["--log-level", "loud=maybe"], "log level"),
    ] {
        let said = complaint(&serve(&config, &state, &[listen.as_slice(), arguments.as_slice()].concat()), 1);
        assert!(said.contains(word), "{said}");
    }
    let everywhere = [
        "--config",
        text(&config),
        "--state",
        text(&state),
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "0.0.0.0:0",
    ];
    let said = complaint(&controller(&everywhere), 1);
    assert!(said.contains("is not a loopback address"), "{said}");
}

#[tokio::test]
async fn a_damaged_state_directory_is_refused_with_the_remedy() {
    let mut mesh = Mesh::start(&[("shop.yaml", SHOP)]).await;
    let error = ambit_controller::Controller::start(mesh.settings(), Default::default()).await.unwrap_err();
    assert!(error.to_string().contains("in use by another controller"), "{error}");
    mesh.stop().await;
    let (key, certificate) = (mesh.state().join("root-key.pem"), mesh.state().join("root-cert.pem"));
    assert_eq!((mode(&key), mode(&certificate), mode(&mesh.state())), (0o600, 0o644, 0o700));

    let allow =
        |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(&key, 0o640);
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("root-key.pem can be used by other users (mode 0640)"), "{error}");
    allow(&key, 0o600);
    allow(&mesh.state(), 0o770);
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("chmod go-w"), "{error}");
    allow(&mesh.state(), 0o700);

    let aside = mesh.path("aside");
    std::fs::rename(&certificate, &aside).unwrap();
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("root-key.pem is there but") && error.contains("restore both"), "{error}");
    let foreign = Mesh::start(&[]).await;
    std::fs::copy(foreign.state().join("root-cert.pem"), &certificate).unwrap();
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("does not belong to the CA certificate"), "{error}");
    std::fs::rename(&aside, &certificate).unwrap();

    std::fs::write(mesh.state().join("captured.json"), "{").unwrap();
    allow(&mesh.state().join("captured.json"), 0o600);
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("captured.json cannot be read"), "{error}");
    std::fs::remove_file(mesh.state().join("captured.json")).unwrap();
    let now = mesh.clock;
    mesh.clock += std::time::Duration::from_secs(11 * 365 * 24 * 3600);
    let error = mesh.restart().await.unwrap_err().to_string();
    assert!(error.contains("the CA certificate has expired"), "{error}");
    mesh.clock = now;
    mesh.restart().await.unwrap();
}

/// A running controller program, and what it prints.
fn spawn(mesh: &Mesh, more: &[&str]) -> (Child, impl Iterator<Item = String>, Vec<SocketAddr>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_controller"))
        .args(["--config", text(&mesh.config()), "--state", text(&mesh.state())])
        .args(["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--admin", "off"])
        .args(more)
        .stdout(Stdio::piped())
        .env_remove("RUST_LOG")
        .env_remove("LOG_FORMAT")
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut listening = Vec::new();
    while listening.len() < 2 {
        let line = lines.next().expect("it ended");
        if let Some((_, address)) = line.split_once("address=") {
            listening.push(address.parse().unwrap());
        }
    }
    (child, lines, listening)
}

#[test]
fn f1_a_killed_controller_starts_again_with_the_same_root() {
    let mesh = Mesh::new(&[("shop.yaml", SHOP)]);
    let root = || std::fs::read(mesh.state().join("root-cert.pem")).unwrap();
    let (mut first, ..) = spawn(&mesh, &[]);
    let before = root();
    first.kill().unwrap();
    first.wait().unwrap();
    let (mut second, ..) = spawn(&mesh, &[]);
    assert_eq!(root(), before);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn the_program_serves_until_it_is_told_to_end() {
    let mesh = Mesh::new(&[("shop.yaml", SHOP)]);
    let (mut child, lines, listening) = spawn(&mesh, &[]);
    for address in listening {
        std::net::TcpStream::connect(address).unwrap();
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("shutting down") && line.contains("SIGTERM")), "{rest:?}");
    assert!(child.wait().unwrap().success());
}
