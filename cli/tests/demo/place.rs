//! What is wrong around a demo is told in one line.

use std::fs;
use std::process::Command;

use crate::{Demo, ambit, text};

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(said.trim().lines().count(), 1, "one line: {said}");
    said
}

#[test]
fn a_program_that_is_missing() {
    let demo = Demo::new();
    let alone = demo.parent.path().join("ambit");
    fs::copy(ambit(), &alone).unwrap();
    let said = said(Command::new(alone).args(["demo", "--dir"]).arg(demo.directory()));
    assert!(said.contains("controller is missing") && said.contains("cargo build --bins"), "{said}");
    demo.assert_gone();
}

#[test]
fn a_directory_that_is_not_ours() {
    let demo = Demo::new();
    fs::create_dir(demo.directory()).unwrap();
    let said = said(&mut demo.command(&[]));
    assert!(said.contains("is open to other users") && said.contains("--dir"), "{said}");
    assert!(demo.directory().exists());
    fs::remove_dir(demo.directory()).unwrap();
}

#[test]
fn a_directory_that_cannot_be_made() {
    let demo = Demo::new();
    let said = said(&mut demo.command(&["--dir", "/proc/demo"]));
    assert!(said.contains("cannot use /proc/demo") && said.contains("--dir"), "{said}");
    let said = self::said(&mut demo.command(&["--dir", "/run/demo"]));
    assert!(said.contains("the demo has a /run of its own"), "{said}");
}

#[test]
fn a_demo_that_does_not_run() {
    let demo = Demo::new();
    for words in [&["status"][..], &["down"], &["logs"], &["exec", "web", "--", "true"]] {
        let said = said(&mut demo.command(words));
        assert!(said.contains("no demo is running") && said.contains("ambit demo --keep"), "{said}");
    }
}
