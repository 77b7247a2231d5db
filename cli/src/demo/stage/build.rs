//! How is the mesh built: namespaces, links, files, then all parts at once, and when is it ready?

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::RngExt;

use crate::demo::ask;
use crate::demo::event::{self, Event};
use crate::demo::ledger::Ledger;
use crate::demo::part::{Backstage, Part, Recipe};
use crate::demo::place::Place;
use crate::demo::plan::{NODES, PODS, Pod, WAYPOINT};
use crate::demo::programs::{Bearer, Programs, root_certificate};
use crate::demo::topology::Topology;
use crate::demo::wire::Wire;
use crate::demo::{hosts, resources};

/// How long the mesh may take to be ready.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether it is.
const LOOK: Duration = Duration::from_millis(5);

/// The mesh, running.
#[derive(Debug)]
pub(crate) struct Stage {
    /// Its files.
    pub(crate) place: Place,
    /// What has been seen.
    pub(crate) ledger: Ledger,
    /// Its namespaces.
    pub(crate) topology: Topology,
    /// The watcher of the link.
    pub(crate) wire: Wire,
    /// The pods' programs.
    pub(crate) pods: BTreeMap<&'static str, Part>,
    /// The number of the next order.
    pub(crate) next_order: AtomicU64,
    _parts: Vec<Part>,
}

/// Builds it and waits until every pod is in the mesh.
pub(crate) async fn build(programs: Programs, backstage: Backstage) -> anyhow::Result<Stage> {
    let mut steps = Steps(Instant::now());
    let place = backstage.place.clone();
    let topology = Topology::build()?;
    directories(&place)?;
    hosts::cover(&place.hosts(), topology.ipv6)?;
    for (name, text) in resources::files(topology.ipv6)? {
        resources::write(&place.config(), name, &text)?;
    }
    steps.done(format!(
        "{} nodes joined by a link, {} pods: network namespaces, {}",
        NODES.len(),
        Pod::all().count(),
        if topology.ipv6 { "IPv4 and IPv6" } else { "IPv4 (this kernel has no IPv6)" },
    ));
    let word = format!("teapot-{:016x}", rand::rng().random::<u64>());
    let wire = Wire::watch(topology.namespace(NODES[0].name)?, &word)?;
    let start = |recipe: Recipe| Part::start(recipe, backstage.clone());
    let mut pods = BTreeMap::new();
    for pod in &PODS {
        let part = start(programs.shop(pod, topology.namespace(pod.name)?, &word))?;
        pods.insert(pod.name, part);
    }
    tokens(&programs, &place).await?;
    let mut parts = vec![start(programs.controller(&place, topology.namespace(NODES[0].name)?))?];
    let ledger = backstage.ledger.clone();
    let root = root_certificate(&place);
    until(&ledger, "the controller's root certificate", || {
        let there = root.exists();
        async move { there }
    })
    .await?;
    steps.done("the controller: configuration, certificates of its own authority".to_owned());
    for node in &NODES {
        let namespace = topology.namespace(node.name)?;
        parts.push(start(programs.agent(&place, node, namespace))?);
        parts.push(start(programs.ztunnel(&place, node, namespace))?);
    }
    parts.push(start(programs.waypoint(&place, topology.namespace(WAYPOINT.name)?))?);
    let stage = Stage { place, ledger, topology, wire, pods, next_order: AtomicU64::new(1), _parts: parts };
    stage.ready().await?;
    steps.done("agents, ztunnels and a waypoint: pods captured, identities proved".to_owned());
    Ok(stage)
}

fn directories(place: &Place) -> anyhow::Result<()> {
    let names = NODES.iter().map(|node| node.name).chain([WAYPOINT.name]);
    let own = names.map(|name| place.directory().join(name));
    for path in [place.config(), place.state(), place.logs()].into_iter().chain(own) {
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    Ok(())
}

/// Has a token written for each node and for the waypoint.
async fn tokens(programs: &Programs, place: &Place) -> anyhow::Result<()> {
    for bearer in NODES.iter().map(Bearer::Node).chain([Bearer::Waypoint]) {
        let name = bearer.name();
        let (program, arguments) = programs.token(place, &bearer);
        let output = tokio::process::Command::new(&program).args(&arguments).env_clear().output().await;
        let output = output.with_context(|| format!("cannot start {}", program.display()))?;
        let words = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "no token for {name}: {}", words.trim());
        anyhow::ensure!(fs::exists(place.token(name))?, "`controller token` wrote no token for {name}");
    }
    Ok(())
}

async fn until<F: Future<Output = bool>>(
    ledger: &Ledger,
    what: &str,
    is_so: impl Fn() -> F,
) -> anyhow::Result<()> {
    let looking = async {
        while !is_so().await {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        looked = tokio::time::timeout(PATIENCE, looking) => looked.with_context(|| {
            format!("waited {} s in vain for {what}: start the demo again with --verbose", PATIENCE.as_secs())
        }),
        ended = ledger.any_end() => Err(ended.into()),
    }
}

impl Stage {
    /// Waits until every program serves, and every proxy knows every enrolled pod as one behind a tunnel and can prove
    /// the identities of its own.
    async fn ready(&self) -> anyhow::Result<()> {
        for pod in PODS {
            let what = format!("the program of the pod {}", pod.name);
            let serves =
                |book: &mut crate::demo::ledger::Book| book.listening.contains(pod.name).then_some(());
            self.ledger.until(&what, PATIENCE, serves).await?;
        }
        for (index, node) in NODES.iter().enumerate() {
            let namespace = self.topology.namespace(node.name)?;
            until(&self.ledger, &format!("the proxy of {}", node.name), || async {
                let Ok(dump) = ask::dump(namespace).await else { return false };
                let serials = dump.serials();
                let mut enrolled = PODS.iter().filter(|pod| pod.is_enrolled());
                let proved = |pod: &Pod| pod.node != index || serials.contains_key(&pod.identity());
                enrolled.all(|pod| dump.tunnels_to(pod.name) && proved(pod))
            })
            .await?;
        }
        let namespace = self.topology.namespace(WAYPOINT.name)?;
        until(&self.ledger, "the waypoint", || ask::is_ready(namespace)).await
    }
}

/// Tells the show about each step when it is done.
struct Steps(Instant);

impl Steps {
    fn done(&mut self, what: String) {
        let milliseconds = self.0.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
        self.0 = Instant::now();
        event::tell(&Event::Built { what, milliseconds });
    }
}
