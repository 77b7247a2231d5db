//! An agent as a process, its log, and what it says of its pods.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::node::Node;

/// Longer than anything should take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Every agent of this process has an admin port of its own.
static PORT: AtomicU16 = AtomicU16::new(20_000);

pub(crate) struct Agent {
    child: Child,
    log: Arc<Mutex<String>>,
    port: u16,
}

/// A command line of the agent's program for a node.
pub(crate) fn command(node: &Node, first: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit-agent"));
    command.args(first).arg("--config").arg(&node.config).args(["--node", &node.name]).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs a subcommand to its end.
pub(crate) fn run(node: &Node, first: &str, more: &[&str]) -> Output {
    let mut command = command(node, &[first]);
    if first == "cleanup" {
        command.arg("--zds").arg(&node.zds);
    }
    command.args(more).output().unwrap()
}

impl Agent {
    pub(crate) fn start(node: &Node) -> Self {
        Self::start_with(node, &[])
    }

    pub(crate) fn start_with(node: &Node, more: &[&str]) -> Self {
        let port = PORT.fetch_add(1, Ordering::Relaxed);
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = command(node, &[]);
        child.arg("--zds").arg(&node.zds).args(more);
        if !more.contains(&"--admin") {
            child.args(["--admin", &format!("127.0.0.1:{port}")]);
        }
        child
            .stdin(Stdio::null())
            .stdout(OwnedFd::from(writer.try_clone().unwrap()))
            .stderr(OwnedFd::from(writer));
        let child = child.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let mut log = lines.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, port }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// How many lines of the log contain `text`.
    pub(crate) fn said(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    #[track_caller]
    pub(crate) fn until_said(&self, text: &str) {
        self.until(&format!("saying {text:?}"), || self.said(text) > 0);
    }

    /// Waits for a condition; its log is shown when that does not come true.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, condition: impl FnMut() -> bool) {
        if !poll(condition) {
            panic!("no {what} within {PATIENCE:?}; the agent's log:\n{}", self.log());
        }
    }

    fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub(crate) fn ready(&self) -> bool {
        self.ask("/healthz/ready").is_some_and(|(status, _)| status == 200)
    }

    pub(crate) fn metrics(&self) -> String {
        self.ask("/metrics").map(|(_, body)| body).unwrap_or_default()
    }

    /// What `/pods` says of a pod; nothing when it does not know it.
    pub(crate) fn pod(&self, name: &str) -> Option<Value> {
        let pods: Vec<Value> = serde_json::from_str(&self.ask("/pods")?.1).ok()?;
        pods.into_iter().find(|pod| pod["pod"] == name)
    }

    pub(crate) fn state(&self, name: &str) -> String {
        self.pod(name).map(|pod| pod["state"].as_str().unwrap_or("?").to_owned()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn until_state(&self, name: &str, state: &str) {
        self.until(&format!("pod {name} {state}"), || self.state(name) == state);
    }

    #[track_caller]
    pub(crate) fn until_captured(&self, names: &[&str]) {
        names.iter().for_each(|name| self.until_state(name, "captured"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Ends it as a supervisor does; gives its exit code and log.
    pub(crate) fn stop(mut self) -> (Option<i32>, String) {
        self.signal(Signal::SIGTERM);
        self.end()
    }

    /// Waits for its end.
    pub(crate) fn end(&mut self) -> (Option<i32>, String) {
        let mut code = None;
        let ended = poll(|| {
            code = self.child.try_wait().unwrap().map(|status| status.code());
            code.is_some()
        });
        assert!(ended, "the agent does not end; its log:\n{}", self.log());
        (code.flatten(), self.log())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again until it is so, for [`PATIENCE`].
pub(crate) fn poll(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}
