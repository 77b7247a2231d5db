//! Settings: every type, every problem, all at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::PathBuf;
use std::time::Duration;

use ambit_app::settings::{Environment, Problem};

#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Plain,
    Json,
}
const FORMS: [(&str, Form); 2] = [("plain", Form::Plain), ("json", Form::Json)];

#[test]
fn values_are_read_by_type() {
    let mut env = Environment::from_map([
        ("NAME", "node-1"),
        ("ON", "TRUE"),
        ("OFF", "0"),
        ("PORT", "15001"),
        ("WAIT", "1m30s"),
        ("LISTEN", "[::1]:80"),
        ("IP", "10.0.0.1"),
        ("DIR", "/var/lib"),
        ("FORMAT", "JSON"),
        ("WORDS", "a, b,,c "),
        ("META_A", "1"),
        ("META_B", "2"),
        ("META_", "3"),
    ]);
    assert_eq!(env.text("NAME", "x"), "node-1");
    assert_eq!(env.required_text("NAME", "to be known"), "node-1");
    assert!(env.flag("ON", false));
    assert!(!env.flag("OFF", true));
    assert_eq!(env.number("PORT", 1_u16, 1..=65535), 15001);
    assert_eq!(env.duration("WAIT", Duration::ZERO), Duration::from_secs(90));
    assert_eq!(env.address("LISTEN", "0.0.0.0:1".parse().unwrap()), "[::1]:80".parse().unwrap());
    assert_eq!(env.optional_ip("IP"), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(env.path("DIR", "."), PathBuf::from("/var/lib"));
    assert_eq!(env.choice("FORMAT", Form::Plain, &FORMS), Form::Json);
    assert_eq!(env.list("WORDS"), ["a", "b", "c"]);
    let meta = env.prefixed("META_");
    assert_eq!(meta.into_iter().collect::<Vec<_>>(), [("A".into(), "1".into()), ("B".into(), "2".into())]);
    env.finish().unwrap();
}

#[test]
fn what_is_not_set_or_empty_has_its_default() {
    let mut env = Environment::from_map([("EMPTY", "")]);
    for name in ["EMPTY", "ABSENT"] {
        assert_eq!(env.text(name, "x"), "x");
        assert!(env.flag(name, true));
        assert_eq!(env.number(name, 7, 0..=9), 7);
        assert_eq!(env.duration(name, Duration::from_secs(3)), Duration::from_secs(3));
        assert_eq!(env.optional_address(name), None);
        assert_eq!(env.optional_path(name), None);
        assert_eq!(env.choice(name, Form::Json, &FORMS), Form::Json);
        assert!(env.list(name).is_empty());
    }
    env.finish().unwrap();
}

#[test]
fn all_problems_come_together_one_line_each() {
    let mut env = Environment::from_map([
        ("PORT", "70000"),
        ("ADMIN_PORT", "0"),
        ("WAIT", "10"),
        ("ON", "maybe"),
        ("LISTEN", "10.0.0.1"),
        ("FORMAT", "xml"),
        ("AMBIT_STAT_DIR", "/tmp"),
        ("AMBIT_COMPLETELY_ELSE", "1"),
        ("AMBIT_NODE", "n"),
    ]);
    env.refuse_unknown("AMBIT_");
    assert_eq!(env.number("PORT", 1_u16, 1..=65535), 1);
    assert_eq!(env.number("ADMIN_PORT", 15000_u16, 1..=65535), 15000);
    assert_eq!(env.duration("WAIT", Duration::from_secs(5)), Duration::from_secs(5));
    assert!(!env.flag("ON", false));
    assert_eq!(env.optional_address("LISTEN"), None);
    assert_eq!(env.choice("FORMAT", Form::Plain, &FORMS), Form::Plain);
    assert_eq!(env.required_text("NODE_NAME", "the node's workloads are found by it"), "");
    assert_eq!(env.text("AMBIT_STATE_DIR", "/var"), "/var");
    assert_eq!(env.text("AMBIT_NODE", ""), "n");
    env.problem(Problem::new("A", Some("1"), "something else", "it contradicts B"));
    let error = env.finish().unwrap_err();
    let names: Vec<&str> = error.problems.iter().map(Problem::name).collect();
    assert_eq!(
        names,
        [
            "PORT",
            "ADMIN_PORT",
            "WAIT",
            "ON",
            "LISTEN",
            "FORMAT",
            "NODE_NAME",
            "A",
            "AMBIT_COMPLETELY_ELSE",
            "AMBIT_STAT_DIR"
        ]
    );
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), error.problems.len());
    assert_eq!(
        lines[0],
        "PORT=\"70000\": number too large to fit in target type; set it to a number from 1 to 65535"
    );
    assert_eq!(lines[1], "ADMIN_PORT=\"0\": it is out of range; set it to a number from 1 to 65535");
    assert_eq!(
        lines[2],
        "WAIT=\"10\": a unit (h, m, s, ms, us, ns) is missing after \"10\"; set it to a duration such as 500ms, 10s or 1h30m"
    );
    assert_eq!(lines[5], "FORMAT=\"xml\": there is no such choice; set it to one of plain, json");
    assert_eq!(lines[6], "NODE_NAME is not set, and has no default: the node's workloads are found by it");
    assert_eq!(lines[8], "AMBIT_COMPLETELY_ELSE: no such setting; remove it");
    assert_eq!(lines[9], "AMBIT_STAT_DIR: no such setting; did you mean AMBIT_STATE_DIR?");
}

#[test]
fn a_value_that_breaks_the_line_does_not() {
    let mut env = Environment::from_map([("PORT", "1\n2")]);
    let _ = env.number("PORT", 1_u16, 1..=2);
    assert_eq!(env.finish().unwrap_err().to_string().lines().count(), 1);
}
