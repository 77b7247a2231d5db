//! Which proxies meet: the one on the clients' node, and the one on the servers' node.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ambit_tests::fast_paths::{self, SWITCHES, Switch};
use ambit_tests::mesh::Proxy;

/// What is said when there is no other proxy.
pub(crate) const NOT_RUN: &str = "interop with an Istio-compatible ztunnel: not run: set AMBIT_INTEROP_ZTUNNEL to the \
                                  path of an Istio-compatible ztunnel (./dev interop PATH)";

/// The two proxies of one mesh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pairing {
    pub(crate) client: Kind,
    pub(crate) server: Kind,
}

/// A proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Ours, with some fast paths off.
    Ours(Vec<Switch>),
    /// The other one.
    Theirs(PathBuf),
}

/// The other proxy's path, when one is given.
pub(crate) fn other() -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os("AMBIT_INTEROP_ZTUNNEL").filter(|path| !path.is_empty())?);
    let runs = path.is_absolute() && path.is_file();
    assert!(runs, "AMBIT_INTEROP_ZTUNNEL is {}: give the absolute path of a ztunnel binary", path.display());
    Some(path)
}

impl Pairing {
    /// Whether the other proxy takes part.
    pub(crate) fn has_theirs(&self) -> bool {
        [&self.client, &self.server].into_iter().any(|kind| matches!(kind, Kind::Theirs(_)))
    }

    /// Whether both ends are ours with every fast path on.
    pub(crate) fn is_default(&self) -> bool {
        [&self.client, &self.server].into_iter().all(|kind| matches!(kind, Kind::Ours(off) if off.is_empty()))
    }
}

/// With another proxy: ours as client and as server, with every fast path on and off; both with themselves as controls.
/// Without: ours with itself, with none, one, all but one and all of the fast paths off, and each one off on one side only.
pub(crate) fn pairings(other: Option<&Path>) -> Vec<Pairing> {
    let (fast, plain) = (Kind::Ours(Vec::new()), Kind::Ours(SWITCHES.to_vec()));
    let mut pairings = Vec::new();
    let mut add = |client: &Kind, server: &Kind| {
        let pairing = Pairing { client: client.clone(), server: server.clone() };
        if !pairings.contains(&pairing) {
            pairings.push(pairing);
        }
    };
    if let Some(path) = other {
        let theirs = Kind::Theirs(path.to_owned());
        for ours in [&fast, &plain] {
            add(ours, &theirs);
            add(&theirs, ours);
        }
        [&theirs, &fast, &plain].into_iter().for_each(|kind| add(kind, kind));
        return pairings;
    }
    combinations().into_iter().map(Kind::Ours).for_each(|kind| add(&kind, &kind));
    for switch in SWITCHES {
        let off = Kind::Ours(vec![*switch]);
        add(&fast, &off);
        add(&off, &fast);
    }
    pairings
}

/// Every set of switches.
fn combinations() -> Vec<Vec<Switch>> {
    let of = |bits: usize| SWITCHES.iter().enumerate().filter(move |(at, _)| bits >> at & 1 == 1);
    // None, one, all but one, all: every two of them meet in each of the four ways.
    let few =
        |bits: &usize| [0, 1, SWITCHES.len() - 1, SWITCHES.len()].contains(&(bits.count_ones() as usize));
    (0..1_usize << SWITCHES.len())
        .filter(few)
        .map(|bits| of(bits).map(|(_, switch)| *switch).collect())
        .collect()
}

impl Pairing {
    /// Whether the other proxy takes part.
    pub(crate) fn foreign(&self) -> bool {
        [&self.client, &self.server].into_iter().any(Kind::theirs)
    }
}

impl Kind {
    /// Whether it is the other one.
    pub(crate) fn theirs(&self) -> bool {
        matches!(self, Self::Theirs(_))
    }

    /// How it is run.
    pub(crate) fn proxy(&self) -> Proxy {
        match self {
            Self::Ours(off) => Proxy { settings: fast_paths::off(off), ..Proxy::default() },
            Self::Theirs(program) => Proxy { program: program.clone(), settings: BTreeMap::new() },
        }
    }
}

impl fmt::Display for Pairing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}>{}", self.client, self.server)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Theirs(_) => f.write_str("theirs"),
            Self::Ours(off) if off.is_empty() => f.write_str("ours"),
            Self::Ours(off) => {
                let values: Vec<String> =
                    off.iter().map(|switch| format!("{}={}", short(switch), switch.plain)).collect();
                write!(f, "ours({})", values.join(","))
            }
        }
    }
}

/// `AMBIT_TUNNEL_ENGINE` as `engine`.
fn short(switch: &Switch) -> String {
    switch.name.rsplit('_').next().unwrap_or_default().to_lowercase()
}
