//! The demo as its users meet it: the built programs, run as they are, as root or not.
//!
//! Needs all programs beside `ambit`, as `cargo build --bins` puts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod kept;
mod place;
mod shown;
mod stopped;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// A place for one demo, apart from every other.
struct Demo {
    parent: tempfile::TempDir,
}

impl Demo {
    fn new() -> Self {
        for program in ["controller", "ambit-agent", "ztunnel", "waypoint"] {
            let path = ambit().with_file_name(program);
            assert!(path.exists(), "{} is missing: run `cargo build --bins` first", path.display());
        }
        Self { parent: tempfile::Builder::new().prefix("ambit-test-").tempdir_in("/tmp").unwrap() }
    }

    fn directory(&self) -> PathBuf {
        self.parent.path().join("demo")
    }

    /// `ambit demo WORDS`.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(ambit());
        command.arg("demo").args(words).env("AMBIT_DEMO_DIR", self.directory()).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    fn start(&self, words: &[&str]) -> Child {
        self.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The processes that name this demo's directory on their command line: those of this demo, and of no other.
    fn processes(&self) -> Vec<(i32, String)> {
        let directory = self.directory().display().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(&directory) {
                found.push((pid, line));
            }
        }
        found
    }

    /// The process of this demo whose command line has these words, once it is there.
    fn process(&self, words: &str) -> i32 {
        let found = || self.processes().into_iter().find(|(_, line)| line.contains(words));
        wait(&format!("a process {words:?}"), found).0
    }

    /// Waits until neither a file nor a process is left.
    fn assert_gone(&self) {
        wait("the end of everything", || {
            (!self.directory().exists() && self.processes().is_empty()).then_some(())
        });
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // For a test that failed half way.
        if self.directory().exists() {
            let _ = self.run(&["down"]);
        }
    }
}

fn ambit() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ambit"))
}

fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
