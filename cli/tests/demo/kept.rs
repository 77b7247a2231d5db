//! A demo that is kept: its mesh carries any program, and follows its YAML.

use std::fs;

use serde_json::Value;

use crate::{Demo, text, wait};

/// A demo that stays until it is dropped.
fn kept() -> Demo {
    let demo = Demo::new();
    let output = demo.run(&["--keep", "--quick", "--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(output.status.success(), "{summary:#}");
    assert_eq!(summary["kept"]["config"], demo.directory().join("config").display().to_string());
    demo
}

impl Demo {
    /// Whether curl in the pod gets an answer.
    fn curl(&self, pod: &str, url: &str) -> Option<String> {
        let output = self.run(&["exec", pod, "--", "curl", "-s", "-m", "5", url]);
        output.status.success().then(|| text(&output.stdout))
    }
}

#[test]
fn any_program_runs_in_a_pod_and_an_edit_refuses_it() {
    let demo = kept();
    let answer = demo.curl("web", "http://cart/items").expect("web may call cart");
    assert!(answer.contains("\"shop\":\"cart\""), "{answer}");
    assert_eq!(demo.curl("web", "http://payments/charge"), None, "web may not call payments");
    assert!(demo.curl("outsider", "http://catalog.pod:8080/items").is_some(), "catalog takes plaintext");
    assert_eq!(demo.curl("outsider", "http://cart.pod:8080/items"), None, "cart does not");

    let policies = demo.directory().join("config/policies.yaml");
    let before = fs::read_to_string(&policies).unwrap();
    fs::write(&policies, before.replace("sa/web", "sa/nobody")).unwrap();
    wait("the refusal", || demo.curl("web", "http://cart/items").is_none().then_some(()));
    fs::write(&policies, before).unwrap();
    wait("the answer", || demo.curl("web", "http://cart/items"));

    let shops = |count: usize| {
        let answers = (0..count).map(|_| demo.curl("web", "http://offers/items").unwrap_or_default());
        answers.map(|answer| answer.contains("\"shop\":\"offers-v2\"")).collect::<Vec<_>>()
    };
    let route = demo.directory().join("config/offers.yaml");
    let before = fs::read_to_string(&route).unwrap();
    assert!(before.contains("weight: 90"), "the show left it as it was: {before}");
    fs::write(&route, before.replace("weight: 90", "weight: 0")).unwrap();
    // By the first weights ten in a row come to the new version once in 10^10 times.
    wait("the canary to get everything", || shops(10).iter().all(|new| *new).then_some(()));

    let down = demo.run(&["down"]);
    assert!(down.status.success(), "{}", text(&down.stderr));
    demo.assert_gone();
}

#[test]
fn a_program_in_a_pod_has_its_input_output_and_end() {
    use std::io::Write;
    let demo = kept();
    let exec = |words: &[&str]| demo.run(&[&["exec", "cart", "--"], words].concat());
    assert_eq!(exec(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    let address = text(&exec(&["cat", "/proc/net/fib_trie"]).stdout);
    assert!(address.contains("10.244.2.12") && !address.contains("10.244.1.10"), "the pod's own network");

    let mut command = demo.command(&["exec", "web", "--", "cat"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"teapot").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"teapot");

    let unknown = demo.run(&["exec", "warehouse", "--", "true"]);
    assert!(text(&unknown.stderr).contains("the demo's pods are web, payments, cart, catalog, outsider"));
    let absent = exec(&["/no/such/program"]);
    assert!(text(&absent.stderr).contains("/no/such/program is not installed"), "{}", text(&absent.stderr));
}

#[test]
fn the_state_and_the_logs_tell_of_a_mistake_and_of_a_part_that_died() {
    let demo = kept();
    let status = || -> Value { serde_json::from_slice(&demo.run(&["status", "--json"]).stdout).unwrap() };
    let before = status();
    assert_eq!(before["configuration_valid"], true);
    assert_eq!(before["pods"].as_array().unwrap().len(), 9);
    assert!(before["parts"].as_array().unwrap().iter().all(|part| part["ended"].is_null()), "{before:#}");

    fs::write(demo.directory().join("config/bad.yaml"), "kind: AuthorizationPolicy\n").unwrap();
    wait("the complaint", || {
        text(&demo.run(&["logs", "controller"]).stdout).contains("bad.yaml:1").then_some(())
    });
    let refused = status();
    assert_eq!(refused["configuration_valid"], false);
    assert!(refused["configuration"].as_str().unwrap().contains("bad.yaml:1"), "{refused:#}");
    assert!(demo.curl("web", "http://cart/items").is_some(), "what held before goes on");
    fs::remove_file(demo.directory().join("config/bad.yaml")).unwrap();

    let controller = demo.process("controller --config");
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(controller), nix::sys::signal::Signal::SIGKILL)
        .unwrap();
    wait("the controller's second start", || {
        let parts = status();
        let parts = parts["parts"].as_array().unwrap();
        parts.iter().any(|part| part["name"] == "controller" && part["starts"] == 2).then_some(())
    });
    assert!(demo.curl("web", "http://cart/items").is_some(), "without the controller, too");
}

#[test]
fn there_is_one_demo_at_a_time() {
    let demo = kept();
    let second = demo.run(&["--quick"]);
    assert!(!second.status.success());
    assert!(text(&second.stdout).contains("ambit demo down"), "{}", text(&second.stdout));
    assert!(demo.curl("web", "http://cart/items").is_some(), "the first is unharmed");
}
