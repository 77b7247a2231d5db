//! Which paths are there, and how is each called?

use std::path::PathBuf;

use anyhow::{Context, ensure};

/// How an Envoy sidecar treats the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As bytes, which is what a sidecar does with a port that it does not know to be HTTP.
    Tcp,
    /// As HTTP, with pools of kept connections between the sidecars.
    Http,
}

/// What carries the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: the pods talk to each other.
    Direct,
    /// A ztunnel on each node, under our controller and agent.
    Mesh {
        /// The program.
        ztunnel: PathBuf,
        /// Its settings beyond the usual ones.
        settings: Vec<(String, String)>,
    },
    /// An Envoy in each pod.
    Sidecar(Mode),
}

/// One path to be measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathSpec {
    /// Its name in the results.
    pub name: String,
    /// How many nodes it spans: 1 or 2.
    pub nodes: usize,
    /// What carries the traffic.
    pub kind: Kind,
}

/// The name of the path without a mesh, beside which every other is put.
pub const DIRECT: &str = "direct";
/// Ours.
pub const AMBIT: &str = "ambit";
/// How the names of paths on one node end.
pub const ONE_NODE: &str = "-one-node";

impl PathSpec {
    fn new(name: &str, nodes: usize, kind: Kind) -> Self {
        let end = if nodes == 1 { ONE_NODE } else { "" };
        Self { name: format!("{name}{end}"), nodes, kind }
    }

    /// A mesh's path over two nodes, and the one on one node.
    fn mesh(name: &str, ztunnel: PathBuf, settings: &[(String, String)]) -> [Self; 2] {
        [2, 1].map(|nodes| {
            let kind = Kind::Mesh { ztunnel: ztunnel.clone(), settings: settings.to_vec() };
            Self::new(name, nodes, kind)
        })
    }
}

/// All paths, given what there is to measure.
///
/// `others` are `[NAME=]PATH` of ztunnels; `variants` are `NAME:VARIABLE=VALUE[,VARIABLE=VALUE]` of ours.
pub fn paths(
    ours: PathBuf,
    with_envoy: bool,
    others: &[String],
    variants: &[String],
) -> anyhow::Result<Vec<PathSpec>> {
    let mut paths = vec![PathSpec::new(DIRECT, 2, Kind::Direct), PathSpec::new(DIRECT, 1, Kind::Direct)];
    paths.extend(PathSpec::mesh(AMBIT, ours.clone(), &[]));
    for variant in variants {
        let (name, settings) =
            variant.split_once(':').context("--variant takes NAME:VARIABLE=VALUE[,...]")?;
        let pair = |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings: Option<Vec<_>> = settings.split(',').map(pair).collect();
        let settings = settings.context("--variant takes NAME:VARIABLE=VALUE[,...]")?;
        paths.extend(PathSpec::mesh(&format!("{AMBIT}-{name}"), ours.clone(), &settings));
    }
    for (index, other) in others.iter().enumerate() {
        let default = if index == 0 { "ztunnel".to_owned() } else { format!("ztunnel{}", index + 1) };
        let (name, path) = match other.split_once('=') {
            Some((name, path)) => (name.to_owned(), path),
            None => (default, other.as_str()),
        };
        let path = PathBuf::from(path).canonicalize().with_context(|| format!("--ztunnel {other}"))?;
        paths.extend(PathSpec::mesh(&name, path, &[]));
    }
    if with_envoy {
        paths.push(PathSpec::new("sidecar-tcp", 2, Kind::Sidecar(Mode::Tcp)));
        paths.push(PathSpec::new("sidecar-http", 2, Kind::Sidecar(Mode::Http)));
    }
    let mut names: Vec<_> = paths.iter().map(|path| &path.name).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    ensure!(names.len() == count, "two paths have the same name: give each --ztunnel and --variant its own");
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_a_name_of_its_own() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let other = format!("theirs={}", file.path().display());
        let variants = ["plain:A=1,B=2".to_owned()];
        let paths = paths("ztunnel".into(), true, std::slice::from_ref(&other), &variants).unwrap();
        let names: Vec<_> = paths.iter().map(|path| path.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "direct",
                "direct-one-node",
                "ambit",
                "ambit-one-node",
                "ambit-plain",
                "ambit-plain-one-node",
                "theirs",
                "theirs-one-node",
                "sidecar-tcp",
                "sidecar-http"
            ]
        );
        let Kind::Mesh { settings, .. } = &paths[4].kind else { panic!("a mesh") };
        assert_eq!(settings, &[("A".into(), "1".into()), ("B".into(), "2".into())]);
        assert!(super::paths("ztunnel".into(), true, &[other.clone(), other], &[]).is_err());
        assert!(super::paths("ztunnel".into(), true, &[], &["plain".into()]).is_err());
        assert!(super::paths("ztunnel".into(), true, &["/nowhere".into()], &[]).is_err());
    }
}
