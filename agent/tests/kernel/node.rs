//! A node for an agent: a directory of resources, network namespaces with names, and witnesses of what is in them.

use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use ambit_netns::{Namespace, unpersist};
use tempfile::TempDir;

static NODES: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) config: PathBuf,
    pub(crate) zds: PathBuf,
    pub(crate) directory: TempDir,
    names: PathBuf,
}

impl Node {
    /// An empty node whose namespace `shop` is enrolled.
    pub(crate) fn new() -> Self {
        let name = format!("node-{}", NODES.fetch_add(1, Ordering::Relaxed));
        let directory = tempfile::tempdir().unwrap();
        let config = directory.path().join("config");
        fs::create_dir(&config).unwrap();
        let names = PathBuf::from("/run/netns").join(&name);
        fs::create_dir(&names).unwrap();
        let node = Self { name, config, zds: directory.path().join("zds/zds.sock"), directory, names };
        node.write("namespaces", &Self::namespaces(true));
        node
    }

    fn namespaces(enrolled: bool) -> String {
        let mode = if enrolled { "ambient" } else { "none" };
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, labels: {{istio.io/dataplane-mode: {mode}}}}}\n"
        )
    }

    /// As an editor does: whole, and under its name at once.
    pub(crate) fn write(&self, file: &str, text: &str) {
        let new = self.config.join(format!(".{file}"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.config.join(format!("{file}.yaml"))).unwrap();
    }

    pub(crate) fn enrol_namespace(&self, enrolled: bool) {
        self.write("namespaces", &Self::namespaces(enrolled));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.names.join(name)
    }

    /// Makes a network namespace under a name.
    pub(crate) fn create(&self, name: &str) -> Namespace {
        let namespace = Namespace::create().unwrap();
        namespace.persist(self.path(name)).unwrap();
        namespace
    }

    /// Takes the name away; the namespace goes when nobody has it any more.
    pub(crate) fn vanish(&self, name: &str) {
        unpersist(self.path(name)).unwrap();
    }

    /// Writes a pod of `shop` that names the namespace of its own name; `more` goes into its metadata.
    pub(crate) fn pod(&self, name: &str, more: &str) {
        self.pod_at(name, &self.path(name).display().to_string(), more);
    }

    pub(crate) fn pod_at(&self, name: &str, path: &str, annotations: &str) {
        let node = &self.name;
        self.write(
            name,
            &format!(
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: shop\n  annotations:\n    ambit.mesh/netns: {path}\n{annotations}spec: {{nodeName: {node}, serviceAccountName: {name}}}\n"
            ),
        );
    }

    /// The same with labels.
    pub(crate) fn pod_labelled(&self, name: &str, mode: &str) {
        self.pod(name, &format!("  labels: {{istio.io/dataplane-mode: {mode}}}\n"));
    }

    pub(crate) fn remove_pod(&self, name: &str) {
        fs::remove_file(self.config.join(format!("{name}.yaml"))).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for entry in fs::read_dir(&self.names).into_iter().flatten().flatten() {
            let _ = unpersist(entry.path());
        }
    }
}

/// Runs a command line inside a namespace; gives its output, or panics with its words.
pub(crate) fn tool(namespace: &Namespace, line: &str) -> String {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = namespace.spawn(&mut command).unwrap().wait_with_output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The nf_tables rules and the routing that redirect.
pub(crate) fn dump(namespace: &Namespace) -> String {
    let lines = [
        "nft -s list ruleset",
        "ip -4 rule",
        "ip -6 rule",
        "ip -4 route show table 100",
        "ip -6 route show table 100",
    ];
    // Showing a table that was never used is an error to `ip`, and a table without routes is not.
    lines.iter().map(|line| format!("# {line}\n{}", try_tool(namespace, line))).collect()
}

/// The iptables rules, without the empty chains that the programs leave behind.
pub(crate) fn iptables(namespace: &Namespace) -> String {
    let saved = ["iptables-save", "ip6tables-save"].map(|line| tool(namespace, line)).concat();
    saved
        .lines()
        .filter(|line| line.starts_with("-A") || line.contains("AMBIT"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn try_tool(namespace: &Namespace, line: &str) -> String {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let output = namespace.spawn(&mut command).unwrap().wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the rules that send outbound traffic to the proxy are there, in the words of `nft` and `ip`.
pub(crate) fn redirects(namespace: &Namespace) -> bool {
    let all = dump(namespace);
    all.contains("redirect to :15001") && all.contains("fwmark 0x111/0xfff lookup 100")
}

/// The inode of a namespace.
pub(crate) fn inode(namespace: impl AsFd) -> u64 {
    nix::sys::stat::fstat(namespace).unwrap().st_ino
}
