//! A29 and the like: input made to exhaust or to crash is refused quickly, with a line that says why.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use ambit_kubernetes::{Resources, read_text, to_yaml, validate_set};
use proptest::prelude::*;

/// Far above what is needed (a debug build on a busy machine), far below what an attack would take.
const QUICK: Duration = Duration::from_secs(5);

fn read(text: &str) -> Result<Resources, Vec<String>> {
    let start = Instant::now();
    let outcome = read_text(Path::new("a.yaml"), text);
    assert!(start.elapsed() < QUICK, "took {:?}", start.elapsed());
    outcome.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn refused(text: &str, reason: &str) {
    let lines = read(text).unwrap_err();
    assert!(lines.len() == 1 && lines[0].contains(reason) && lines[0].len() < 700, "{lines:?}");
}

#[test]
fn a29_alias_bomb() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        writeln!(text, "a{level}: &a{level} [{}]", [alias.as_str(); 10].join(", ")).unwrap();
    }
    refused(&text, "more than 200000 values, with aliases expanded");
}

#[test]
fn a29_merge_bomb() {
    let mut text = "a0: &a0 {k: v}\n".to_owned();
    for level in 1..600 {
        writeln!(
            text,
            "a{level}: &a{level} {{<<: *a{}, k{level}: {{x: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}}}",
            level - 1
        )
        .unwrap();
    }
    refused(&text, "more than 200000 values, with aliases expanded");
}

#[test]
fn an_alias_inside_its_own_value() {
    refused("a: &a [*a]\n", "an alias inside the value that it stands for");
    refused("a: *b\n", "not valid YAML");
}

#[test]
fn a29_deep_nesting() {
    const DEEP: &str = "lists and maps nested more than 64 deep; flatten it";
    for (open, close) in [("[", "]"), ("{a: ", "}")] {
        refused(&(open.repeat(10_000) + &close.repeat(10_000)), DEEP);
        refused(&open.repeat(10_000), DEEP);
    }
    let block: String = (0..10_000).map(|level| format!("{}a:\n", " ".repeat(level.min(90)))).collect();
    refused(&block, DEEP);
    refused(&"- ".repeat(10_000), DEEP);
    refused(&"? ".repeat(10_000), DEEP);
    let mut aliases = "a0: &a0 [x]\n".to_owned();
    for level in 1..1000 {
        writeln!(aliases, "a{level}: &a{level} [*a{}]", level - 1).unwrap();
    }
    refused(&aliases, DEEP);
}

#[test]
fn a29_a_megabyte_of_regular_expression() {
    let long = "(a+)+".repeat(200_000);
    let policy = |field: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: default}}\nspec:\n  rules:\n  - {field}\n"
        )
    };
    refused(&policy(&format!("from: [{{source: {{ipBlocks: ['{long}']}}}}]")), "is not an IP block");
    refused(&policy(&format!("when: [{{key: '{long}', values: [a]}}]")), "is not a known attribute");
    refused(
        &policy(&format!("to: [{{operation: {{paths: ['/{{*}}/*{long}']}}}}]")),
        "is not a path template",
    );
    refused(&policy(&format!("? '{long}'\n    : a")), "unknown field");
    refused(
        &format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: '{long}'}}\n"),
        "is not a DNS label",
    );
    refused(
        &format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: a, namespace: '{long}'}}\n"),
        "is not a DNS label",
    );
}

#[test]
fn a29_many_objects_and_many_rules() {
    let mut many = String::new();
    for number in 0..10_000 {
        writeln!(many, "- {{source: {{namespaces: [n{number}]}}}}").unwrap();
    }
    let indented: String = many.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a, namespace: default}}\nspec:\n  rules:\n  - from:\n{indented}"
    );
    assert_eq!(read(&text).unwrap().objects.len(), 1);

    let documents: String = (0..5_000)
        .map(|number| {
            format!("---\n{{apiVersion: v1, kind: Pod, metadata: {{name: p{number}, namespace: default}}}}\n")
        })
        .collect();
    let start = Instant::now();
    let resources = read(&documents).unwrap();
    assert!(validate_set(&resources.objects).is_empty());
    assert!(start.elapsed() < QUICK);
    refused(&format!("[{}]", "a,".repeat(400_000)), "more than 200000 values");
}

/// YAML-like noise: pieces that mean something, in any order.
fn noise() -> impl Strategy<Value = String> {
    let pieces = vec![
        "apiVersion: v1\n",
        "kind: Pod\n",
        "kind: AuthorizationPolicy\n",
        "apiVersion: security.istio.io/v1\n",
        "metadata:\n",
        "  name: a\n",
        "  namespace: default\n",
        "spec:\n",
        "  rules:\n",
        "  - from:\n",
        "    - source: {ipBlocks: [1]}\n",
        "---\n",
        "...\n",
        "&a ",
        "*a ",
        "<<: ",
        "? ",
        ": ",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "\"",
        "'",
        "|\n",
        ">-\n",
        "!!str ",
        "!x ",
        "%YAML 1.1\n",
        "#",
        "\t",
        "\r",
        "\u{feff}",
        "\u{85}",
        "null",
        "0644",
        "é",
        "items:\n",
        "kind: List\n",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_it_panic(text in prop_oneof![any::<String>(), noise()]) {
        match read_text(Path::new("a.yaml"), &text) {
            Ok(resources) => {
                for loaded in &resources.objects {
                    to_yaml(&loaded.object).unwrap();
                }
                validate_set(&resources.objects);
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let line = problem.to_string();
                    prop_assert!(!line.contains(['\n', '\r', '\u{1b}']), "{:?}", line);
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.yaml"), &bytes).unwrap();
        let _ = ambit_kubernetes::read_directory(directory.path());
    }
}
