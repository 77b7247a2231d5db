//! However a demo is stopped, nothing of it is left, and it says what happened.

use std::io::{BufRead, BufReader};
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{Demo, text};

/// Starts the show and waits until requests run in its mesh.
fn running(demo: &Demo) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = demo.start(&[]);
    let mut shown = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("both ends prove who they are") {
        line.clear();
        assert!(shown.read_line(&mut line).unwrap() > 0, "the show ended early");
    }
    (child, shown)
}

fn rest(shown: &mut BufReader<std::process::ChildStdout>) -> String {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(shown, &mut bytes).unwrap();
    text(&bytes)
}

#[test]
fn by_a_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let demo = Demo::new();
        let (mut child, mut shown) = running(&demo);
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        let said = rest(&mut shown);
        assert_eq!(child.wait().unwrap().code(), Some(128 + signal as i32), "{said}");
        assert!(said.contains(&format!("ended by {signal}")), "{said}");
        assert!(said.contains(" held, the others were not reached"), "{said}");
        // The show itself has waited for that.
        assert!(!demo.directory().exists());
        demo.assert_gone();
    }
}

#[test]
fn by_killing_the_show() {
    let demo = Demo::new();
    let (mut child, _shown) = running(&demo);
    child.kill().unwrap();
    child.wait().unwrap();
    demo.assert_gone();
}

#[test]
fn by_killing_the_stage() {
    let demo = Demo::new();
    let (mut child, mut shown) = running(&demo);
    kill(Pid::from_raw(demo.process("demo stage")), Signal::SIGKILL).unwrap();
    let said = rest(&mut shown);
    assert!(!child.wait().unwrap().success());
    assert!(said.contains("the demo's stage ended"), "{said}");
    demo.assert_gone();
}

#[test]
fn by_the_death_of_a_part() {
    for (words, name) in [("controller --config", "controller"), ("ambit-agent", "agent-node-")] {
        let demo = Demo::new();
        let (mut child, mut shown) = running(&demo);
        kill(Pid::from_raw(demo.process(words)), Signal::SIGKILL).unwrap();
        let said = rest(&mut shown);
        assert!(!child.wait().unwrap().success());
        assert!(said.contains(name) && said.contains("ended unexpectedly (killed by SIGKILL)"), "{said}");
        assert!(said.contains("its last lines:") && said.contains("info"), "{said}");
        demo.assert_gone();
    }
}

#[test]
fn by_closing_its_output() {
    let demo = Demo::new();
    let (mut child, shown) = running(&demo);
    drop(shown);
    assert!(!child.wait().unwrap().success());
    demo.assert_gone();
}
