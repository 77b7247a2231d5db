//! The sidecars' configuration: Envoy itself accepts it, where it is installed; its shape is checked everywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::process::Command;

use ambit_benches::stage::capture;
use ambit_benches::stage::certificates::{identity, make};
use ambit_benches::stage::envoy::Sidecar;
use ambit_benches::stage::path::Mode;
use serde_json::Value;

fn bootstrap(directory: &std::path::Path, mode: Mode) -> Value {
    let [files] = make(directory, ["client"]).unwrap();
    let upstream = ("10.77.32.3:8080".parse().unwrap(), identity("server"));
    Sidecar { mode, files: &files, upstream, caller: identity("client"), port: 8080 }.bootstrap()
}

#[test]
fn both_modes_demand_mutual_tls_with_a_known_peer() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [Mode::Tcp, Mode::Http] {
        let config = bootstrap(directory.path(), mode);
        let inbound = &config["static_resources"]["listeners"][1]["filter_chains"][0];
        assert_eq!(inbound["filter_chain_match"]["transport_protocol"], "tls");
        let tls = &inbound["transport_socket"]["typed_config"];
        assert_eq!(tls["require_client_certificate"], true);
        let peer = |tls: &Value| {
            tls["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"][0]["matcher"]["exact"].clone()
        };
        assert_eq!(peer(tls), identity("client"));
        let outbound = &config["static_resources"]["clusters"][0]["transport_socket"]["typed_config"];
        assert_eq!(peer(outbound), identity("server"));
    }
}

#[test]
fn envoy_accepts_both_modes() {
    // Where `./dev bench` puts it: in the target directory, above this test's own.
    let own = std::env::current_exe().unwrap();
    let envoy = own.ancestors().nth(3).unwrap().join("bench-envoy/envoy");
    if !envoy.exists() {
        println!("not run: {} is missing (./dev bench installs it)", envoy.display());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for mode in [Mode::Tcp, Mode::Http] {
        let file = directory.path().join("envoy.json");
        std::fs::write(&file, bootstrap(directory.path(), mode).to_string()).unwrap();
        let output =
            Command::new(&envoy).args(["--mode", "validate", "--config-path"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{mode:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn what_the_sidecar_sends_is_not_captured_again() {
    let rules = capture::rules();
    let place = |rule: &str| rules.find(rule).unwrap_or_else(|| panic!("{rule} is missing"));
    let captured = place("-A ISTIO_OUTPUT -j ISTIO_REDIRECT");
    assert!(place("-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN") < captured);
    assert!(place("-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN") < captured);
    assert!(rules.ends_with("COMMIT\n"));
}
