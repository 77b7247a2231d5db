//! The show itself.

use serde_json::Value;

use crate::{Demo, text};

#[test]
fn every_expectation_holds_and_nothing_is_left() {
    let demo = Demo::new();
    let output = demo.run(&["--json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("only the summary is printed");
    let expectations = summary["expectations"].as_array().unwrap();
    let failed: Vec<_> = expectations.iter().filter(|each| each["passed"] != true).collect();
    assert!(failed.is_empty() && summary["passed"] == true, "{summary:#}");
    assert!(output.status.success());
    assert!(expectations.len() >= 29, "{} expectations", expectations.len());
    assert!(summary["seconds_to_first_encrypted_request"].as_f64().unwrap() < 10.0);
    demo.assert_gone();
}

#[test]
fn the_show_is_plain_text_where_it_is_no_terminal() {
    let demo = Demo::new();
    let output = demo.run(&["--quick"]);
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{shown}");
    for words in [
        "web → cart",
        "mutual TLS",
        "spiffe://cluster.local/ns/shop/sa/web",
        "denied by shop/payments-callers",
        "plaintext",
        "no identity",
        "mistake.yaml:13",
        "rbac_access_denied",
        "UH no_healthy_upstream",
        "nothing of the mesh crosses the link in clear",
        "nothing is left behind",
    ] {
        assert!(shown.contains(words), "{words:?} is not shown:\n{shown}");
    }
    assert!(!shown.contains('\x1b'), "colours in a pipe");
}
