//! The real programs as processes: found, started, watched by their logs, ended.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ambit_netns::Namespace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::wait::wait_for;

/// How many of the last lines are shown when a test fails.
const SHOWN: usize = 60;

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// The path of one of our programs, next to this test's own.
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let directory = own.ancestors().nth(2).unwrap();
    let path = directory.join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --bins` first", path.display());
    path
}

/// One of our programs, as a command with a clean environment.
pub fn command(name: &str) -> Command {
    command_at(&program(name))
}

/// Any program, the same way.
pub fn command_at(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("RUST_BACKTRACE", "1");
    command
}

impl Process {
    /// Starts a command inside a namespace; `name` is what it is called in the logs of a failed test.
    pub fn start(name: &str, namespace: &Namespace, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = namespace.spawn(command).unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = vec![
            follow(child.stdout.take().unwrap(), lines.clone()),
            follow(child.stderr.take().unwrap(), lines.clone()),
        ];
        Self { name: name.to_owned(), child, lines, readers }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id inside the world.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Waits for a line that holds every one of `parts`.
    #[track_caller]
    pub fn said(&self, parts: &[&str]) -> String {
        let all = |line: &&String| parts.iter().all(|part| line.contains(part));
        wait_for(&format!("{} says {parts:?}", self.name), || self.lines().iter().find(all).cloned())
    }

    /// The access log so far: one object a connection.
    pub fn access(&self) -> Vec<Value> {
        let lines = self.lines();
        let parsed = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        parsed.filter(|line| line["scope"] == "access").collect()
    }

    /// Waits for an access log line that `wanted` accepts.
    #[track_caller]
    pub fn logged(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        wait_for(&format!("{} logs {what}", self.name), || self.access().into_iter().find(&wanted))
    }

    /// What to look at when a test failed.
    pub fn last_lines(&self) -> String {
        // Connections that ended well say nothing about a failure.
        let well = |line: &String| line.contains("connection complete") && !line.contains("\"error\"");
        let lines: Vec<String> = self.lines().into_iter().filter(|line| !well(line)).collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Waits until it ends by itself, and all of its words are there.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let what = format!("{} ends", self.name);
        let child = &mut self.child;
        let status = wait_for(&what, || child.try_wait().unwrap());
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        status
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it at once, with no word of farewell.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(stream: impl Read + Send + 'static, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            lines.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    })
}

impl Drop for Process {
    fn drop(&mut self) {
        let status = self.child.try_wait();
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ({status:?}), its last lines:\n{}", self.name, self.last_lines());
        }
    }
}
