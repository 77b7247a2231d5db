//! Worlds for whole processes: made, joined, and gone with their maker.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use ambit_netns::links::Links;
use ambit_netns::world::{self, EnterWorldError, Footing, WorldError, WorldOptions};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Test;
use crate::pair::poll;

pub(crate) const TESTS: &[Test] = &[
    ("a_world_is_apart", a_world_is_apart),
    ("nothing_outlives_a_killed_world", nothing_outlives_a_killed_world),
    ("nothing_outlives_a_finished_world", nothing_outlives_a_finished_world),
    ("a_world_ends_as_its_program_ends", a_world_ends_as_its_program_ends),
    ("another_process_joins_a_world", another_process_joins_a_world),
    ("threads_come_too_early", threads_come_too_early),
];

/// This test program again, as one of the roles below.
pub(crate) fn role(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--role", name]).args(arguments);
    command
}

/// What a child process does.
pub(crate) fn play(name: &str, arguments: &[String]) -> ExitCode {
    match (name, arguments) {
        ("powerless", []) => crate::errors::powerless(),
        ("world", [user, sleep]) => return in_world(user == "user", sleep),
        ("join", [pid]) => join(pid.parse().unwrap()),
        _ => panic!("no role {name}"),
    }
    ExitCode::SUCCESS
}

/// Makes a world, starts a program that never ends, tells about itself, and ends with the code it is told.
fn in_world(user_namespace: bool, sleep: &str) -> ExitCode {
    let here = world::create(&WorldOptions { user_namespace, ..WorldOptions::default() }).unwrap();
    assert!(!user_namespace || here.footing == Footing::UserNamespace);
    let mut links = Links::current().unwrap();
    let only_loopback = links.list().unwrap().iter().all(|link| link.name != "eth0");
    assert!(only_loopback && links.list().unwrap().iter().any(|link| link.name == "lo" && link.up));
    links.bridge("world0").unwrap();
    std::fs::write("/run/netns/proof", "").unwrap();
    assert_eq!(std::process::id(), 2, "init is first, the program second");
    // The shell ends at once: its program is an orphan, which only the end of the world ends.
    assert!(Command::new("sh").args(["-c", &format!("sleep {sleep} &")]).status().unwrap().success());
    println!("{}", here.outer_pid);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    ExitCode::from(line.trim().parse::<u8>().unwrap())
}

fn join(pid: u32) {
    world::enter(pid).unwrap();
    let bridge = Links::current().unwrap().index("world0").is_ok();
    let proof = std::path::Path::new("/run/netns/proof").exists();
    let first = std::fs::read_to_string("/proc/1/comm").is_ok();
    // Threads and processes can be started in there.
    let thread = std::thread::spawn(|| 7).join().unwrap();
    let output = Command::new("readlink").arg("/proc/self/ns/net").output().unwrap();
    assert!(bridge && proof && first && thread == 7 && output.status.success());
    println!("joined as {}", nix::unistd::geteuid());
}

struct Made {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    outer_pid: u32,
    sleep: String,
}

/// Starts a world. `sleep` is unique, to find its program from outside.
fn made(footing: &str, number: u32) -> Made {
    let sleep = format!("{}{number}.5", 100_000 + std::process::id());
    let mut child =
        role("world", &[footing, &sleep]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let outer_pid = line.trim().parse().expect("the world did not start");
    assert_eq!(outer_pid, child.id());
    assert!(poll(|| sleeps(&sleep).then_some(())).is_some(), "its program cannot be seen from here");
    // Kept open, so that a killed world does not end by the end of its input.
    let input = child.stdin.take().unwrap();
    Made { child, input, output, outer_pid, sleep }
}

/// Whether the world's program lives.
fn sleeps(argument: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        line == format!("sleep\0{argument}\0").as_bytes()
    })
}

fn assert_gone(argument: &str) {
    assert!(poll(|| (!sleeps(argument)).then_some(())).is_some(), "a program of the world lives on");
}

const FOOTINGS: [&str; 2] = ["any", "user"];

fn a_world_is_apart() {
    for (footing, number) in FOOTINGS.into_iter().zip(10..) {
        let mut made = made(footing, number);
        assert!(Links::current().unwrap().index("world0").is_err());
        assert!(!std::path::Path::new("/run/netns/proof").exists());
        made.input.write_all(b"0\n").unwrap();
        assert!(made.child.wait().unwrap().success());
    }
}

fn nothing_outlives_a_killed_world() {
    for (footing, number) in FOOTINGS.into_iter().zip(20..) {
        let mut made = made(footing, number);
        // Its maker gets no chance to clean up.
        made.child.kill().unwrap();
        made.child.wait().unwrap();
        assert_gone(&made.sleep);
    }
}

fn nothing_outlives_a_finished_world() {
    for (footing, number) in FOOTINGS.into_iter().zip(30..) {
        let mut made = made(footing, number);
        made.input.write_all(b"0\n").unwrap();
        made.child.wait().unwrap();
        assert_gone(&made.sleep);
        let mut rest = String::new();
        made.output.read_line(&mut rest).unwrap();
        assert_eq!(rest, "", "the output is closed");
    }
}

fn a_world_ends_as_its_program_ends() {
    for (footing, number) in FOOTINGS.into_iter().zip(40..) {
        let mut finished = made(footing, number);
        finished.input.write_all(b"7\n").unwrap();
        assert_eq!(finished.child.wait().unwrap().code(), Some(7));
        // A signal to the process that the user sees reaches the program. Not SIGINT or SIGHUP, which whoever runs the
        // tests in the background may have them ignore.
        for signal in [Signal::SIGUSR1, Signal::SIGTERM] {
            let mut ended = made(footing, number + 5);
            kill(Pid::from_raw(ended.outer_pid as i32), signal).unwrap();
            assert_eq!(ended.child.wait().unwrap().code(), Some(128 + signal as i32));
            assert_gone(&ended.sleep);
        }
    }
}

fn another_process_joins_a_world() {
    for (footing, number) in FOOTINGS.into_iter().zip(50..) {
        let mut made = made(footing, number);
        let output = role("join", &[&made.outer_pid.to_string()]).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "joined as 0\n");
        made.child.kill().unwrap();
        made.child.wait().unwrap();
        assert_gone(&made.sleep);
        let gone = role("join", &[&made.outer_pid.to_string()]).output().unwrap();
        assert!(!gone.status.success());
        assert!(String::from_utf8_lossy(&gone.stderr).contains("Gone("));
    }
}

fn threads_come_too_early() {
    let error = world::create(&WorldOptions::default()).unwrap_err();
    assert!(matches!(error, WorldError::Threads) && error.to_string().contains("call it first in main"));
    assert!(matches!(world::enter(1), Err(EnterWorldError::Threads)));
}
