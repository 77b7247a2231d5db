//! What does a node with N pods cost: one proxy for the node, or one for each pod?

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::Serialize;

use super::settled_memory;
use crate::machine::process::{Memory, Times};
use crate::result::statistics::line;
use crate::stage::network::{Network, Pod};
use crate::stage::part::Part;
use crate::stage::path::{Kind, Mode, PathSpec};
use crate::stage::{Programs, certificates, mesh, resources, sidecar};

/// Real pods of a node whose proxy is shared.
pub const SHARED: [usize; 5] = [1, 10, 50, 100, 250];
/// Real pods with a sidecar each; more are estimated with the line through these.
pub const SIDECARS: [usize; 3] = [1, 2, 4];

/// One node.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Pods that were there.
    pub pods: usize,
    /// All proxies of the node together, idle.
    pub memory: Memory,
    /// Processor seconds of them for each second of idleness.
    pub processor: f64,
    /// Seconds until the pods that were added were served.
    pub seconds: f64,
}

/// Nodes of one kind, with the line through them.
#[derive(Debug, Clone, Serialize)]
pub struct Nodes {
    /// `ambit`, another ztunnel's name, or `sidecar`.
    pub path: String,
    /// As measured.
    pub measured: Vec<Node>,
    /// Bytes without pods and bytes for each pod, of the line of least squares through what was measured.
    pub fitted: Option<(f64, f64)>,
    /// Why there is no more.
    pub failed: Option<String>,
}

impl Nodes {
    fn fit(mut self) -> Self {
        let points: Vec<_> =
            self.measured.iter().map(|node| (node.pods as f64, node.memory.proportional as f64)).collect();
        self.fitted = line(&points);
        self
    }

    /// Bytes of a node with so many pods, and whether they were measured.
    pub fn bytes(&self, pods: usize) -> Option<(f64, bool)> {
        let measured = self.measured.iter().find(|node| node.pods == pods);
        measured.map(|node| (node.memory.proportional as f64, true)).or_else(|| {
            let (height, slope) = self.fitted?;
            Some((height + slope * pods as f64, false))
        })
    }
}

/// A node of a mesh to which pods are added.
pub fn shared(spec: &PathSpec, programs: &Programs, root: &Path, quiet: Duration) -> anyhow::Result<Nodes> {
    let Kind::Mesh { ztunnel, settings } = &spec.kind else { anyhow::bail!("{} is not a mesh", spec.name) };
    let directory = root.join(format!("pods-{}", spec.name));
    std::fs::create_dir_all(directory.join("netns"))?;
    let mut network = Network::new(1, &directory.join("netns"))?;
    let mut pods = vec![network.attach("pod-1", 0)?];
    let mut nodes = empty(&spec.name);
    let mut mesh = mesh::start(&network, &pods, programs, ztunnel, settings, &directory)?;
    for count in SHARED {
        let begun = Instant::now();
        if let Err(error) = add(&mut network, &mut mesh, &mut pods, count) {
            nodes.failed = Some(format!("{error:#}"));
            break;
        }
        let seconds = begun.elapsed().as_secs_f64();
        nodes.measured.push(node(&mesh.ztunnels, count, seconds, quiet)?);
    }
    mesh.ztunnels.into_iter().chain(mesh.control).for_each(Part::end);
    Ok(nodes.fit())
}

fn add(
    network: &mut Network,
    mesh: &mut mesh::Mesh,
    pods: &mut Vec<Pod>,
    count: usize,
) -> anyhow::Result<()> {
    for number in pods.len() + 1..=count {
        pods.push(network.attach(&format!("pod-{number}"), 0)?);
    }
    mesh.files.write("pods", &resources::pods(pods), true)?;
    let ztunnel = mesh.ztunnels.first_mut().context("there is no ztunnel")?;
    mesh::settle(ztunnel, network.node(0)?, pods)
}

/// A node whose pods have sidecars.
pub fn sidecars(programs: &Programs, root: &Path, quiet: Duration) -> anyhow::Result<Nodes> {
    let directory = root.join("pods-sidecar");
    std::fs::create_dir_all(directory.join("netns"))?;
    let mut network = Network::new(1, &directory.join("netns"))?;
    let [files] = certificates::make(&directory.join("certificates"), ["pod"])?;
    let (mut nodes, mut parts) = (empty("sidecar"), Vec::new());
    for count in SIDECARS {
        let begun = Instant::now();
        for number in parts.len() + 1..=count {
            let pod = network.attach(&format!("pod-{number}"), 0)?;
            let to = pod.at(crate::stage::PORT);
            parts.push(sidecar::start_one(&pod, &files, to, programs, Mode::Http, &directory)?);
        }
        nodes.measured.push(node(&parts, count, begun.elapsed().as_secs_f64(), quiet)?);
    }
    parts.into_iter().for_each(Part::end);
    Ok(nodes.fit())
}

fn empty(path: &str) -> Nodes {
    Nodes { path: path.to_owned(), measured: Vec::new(), fitted: None, failed: None }
}

fn node(proxies: &[Part], pods: usize, seconds: f64, quiet: Duration) -> anyhow::Result<Node> {
    let memory = settled_memory(proxies)?;
    let used = || -> anyhow::Result<f64> {
        proxies.iter().map(|proxy| Times::of(proxy.pid()).map(Times::both)).sum()
    };
    let begun = used()?;
    std::thread::sleep(quiet);
    Ok(Node { pods, memory, processor: (used()? - begun) / quiet.as_secs_f64(), seconds })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_marked_as_fitted() {
        let node = |pods: usize| Node {
            pods,
            memory: Memory { proportional: 100 + 50 * pods as u64, ..Memory::default() },
            processor: 0.0,
            seconds: 0.0,
        };
        let nodes = Nodes { measured: SIDECARS.map(node).to_vec(), ..empty("sidecar") }.fit();
        assert_eq!(nodes.bytes(4), Some((300.0, true)));
        let (bytes, measured) = nodes.bytes(250).unwrap();
        assert!((bytes - 12_600.0).abs() < 1e-6 && !measured);
        assert_eq!(empty("none").fit().bytes(1), None);
    }
}
