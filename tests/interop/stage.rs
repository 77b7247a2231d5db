//! The mesh that scenarios run in: made for a pairing, shared by those with the same needs, restored after each.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ambit_tests::mesh::{Mesh, find};
use ambit_tests::pod::{Pod, PodSpec};
use ambit_tests::resources::service;
use ambit_tests::topology::{SIDES, Side};
use ambit_tests::wait::wait_until;

use crate::pairing::{Kind, Pairing};
use crate::scenario::{Needs, Outcome, Scenario};
use crate::table::Table;

/// The number of the service in front of `far`.
pub(crate) const SERVICE: u8 = 10;

const MIB: u64 = 1024 * 1024;

/// A running mesh with its pods.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) mesh: Mesh,
    pub(crate) pairing: Pairing,
    /// The client, on the clients' node.
    pub(crate) web: Pod,
    /// Another client there.
    pub(crate) other: Pod,
    /// A server beside them.
    pub(crate) near: Pod,
    /// A server on the servers' node.
    pub(crate) far: Pod,
    /// Not of the mesh, on the clients' node.
    pub(crate) outsider: Pod,
    /// One with the longest names there can be, on the clients' node.
    pub(crate) long: Pod,
    /// Resource files that belong to every scenario.
    files: BTreeSet<String>,
    /// The policies that each node has without a scenario's.
    policies: [BTreeSet<String>; 2],
}

impl Stage {
    fn new(pairing: &Pairing, needs: Needs) -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let mut mesh = Mesh::new(&format!("interop-{}", MADE.fetch_add(1, Ordering::SeqCst)));
        mesh.settings.insert("POOL_UNUSED_RELEASE_TIMEOUT".into(), "2s".into());
        mesh.proxies = [pairing.client.proxy(), pairing.server.proxy()];
        if needs == Needs::ShortCertificates {
            mesh.settings.insert("SECRET_TTL".into(), "6s".into());
        }
        for (kind, proxy) in [&pairing.client, &pairing.server].into_iter().zip(&mut mesh.proxies) {
            if needs == Needs::OnDemand && kind.theirs() {
                proxy.settings.insert("XDS_ON_DEMAND".into(), "true".into());
                // Its DNS proxy needs to know everything, and it refuses both together.
                let config = r#"{"proxyMetadata":{"DNS_CAPTURE":"false"}}"#;
                proxy.settings.insert("PROXY_CONFIG".into(), config.into());
            }
        }
        mesh.start();
        mesh.apply("service-far", &service("far", SERVICE));
        let [web, other, near] = ["web", "other", "near"].map(|name| mesh.pod(name, Side::A));
        let (far, outsider) = (mesh.pod("far", Side::B), mesh.outsider("outsider", Side::A));
        let long = mesh.add(PodSpec::new(&"n".repeat(63), Side::A).account("long").app(&"a".repeat(63)));
        let files = files(&mesh);
        let policies = Default::default();
        let mut stage =
            Self { mesh, pairing: pairing.clone(), web, other, near, far, outsider, long, files, policies };
        match needs {
            Needs::OnDemand => stage.served(),
            Needs::Usual | Needs::ShortCertificates => stage.mesh.settled(),
        }
        stage.policies = SIDES.map(|side| policies_of(&stage.mesh, side));
        stage
    }

    /// Waits until each node serves its own pods and knows them as captured: all that one can wait for when the rest is
    /// asked for on demand.
    #[track_caller]
    fn served(&self) {
        for pod in [&self.web, &self.other, &self.near, &self.far] {
            wait_until(&format!("{} is served", pod.spec.name), || {
                let dump = self.mesh.dump(pod.spec.side);
                let captured =
                    find(&dump["workloads"], &pod.spec.name).is_some_and(|it| it["protocol"] == "HBONE");
                captured && dump["workloadState"][&pod.uid]["state"] == "Up"
            });
        }
    }

    /// Takes back what a scenario has applied.
    #[track_caller]
    fn restore(&self) {
        let left: Vec<String> = files(&self.mesh).difference(&self.files).cloned().collect();
        left.iter().for_each(|file| fs::remove_file(self.mesh.config().join(file)).unwrap());
        for side in SIDES {
            wait_until("the scenario's policies are gone", || {
                policies_of(&self.mesh, side) == self.policies[side.index()]
            });
        }
    }

    /// The proxy of a node.
    pub(crate) fn kind(&self, side: Side) -> &Kind {
        match side {
            Side::A => &self.pairing.client,
            Side::B => &self.pairing.server,
        }
    }

    /// The last words of every process, for a scenario that failed.
    fn tell(&self) {
        let running = self.mesh.ztunnels.iter().chain(&self.mesh.agents).chain([&self.mesh.controller]);
        for process in running.flatten() {
            eprintln!("--- {}, its last lines:\n{}", process.name(), process.last_lines());
        }
    }
}

fn policies_of(mesh: &Mesh, side: Side) -> BTreeSet<String> {
    let dump = mesh.dump(side);
    let names = dump["policies"].as_array().into_iter().flatten();
    names.filter_map(|policy| Some(policy["name"].as_str()?.to_owned())).collect()
}

fn files(mesh: &Mesh) -> BTreeSet<String> {
    let entries = fs::read_dir(mesh.config()).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// How many bytes are sent each way: `AMBIT_INTEROP_MIB`, or little.
pub(crate) fn bytes_each_way() -> u64 {
    let set = std::env::var("AMBIT_INTEROP_MIB").ok();
    let mib = set.map(|text| text.parse().expect("AMBIT_INTEROP_MIB is a number"));
    mib.unwrap_or(8) * MIB
}

/// Runs the scenarios of each pairing one after the other, and some pairings at a time.
pub(crate) fn run(work: &[(&Pairing, Vec<&'static Scenario>)], workers: usize, table: &Table) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((pairing, scenarios)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    scenarios.chunk_by(|one, next| one.needs == next.needs).for_each(|group| {
                        run_group(pairing, group, table);
                    });
                }
            });
        }
    });
}

fn run_group(pairing: &Pairing, group: &[&'static Scenario], table: &Table) {
    let began = Instant::now();
    let needs = group[0].needs;
    // A thread of its own, so that its panic is only this group's.
    let stage = std::thread::scope(|scope| scope.spawn(|| Stage::new(pairing, needs)).join());
    let Ok(mut stage) = stage else {
        group.iter().for_each(|scenario| table.add(pairing, scenario.name, None, began.elapsed()));
        return;
    };
    for scenario in group {
        let began = Instant::now();
        let outcome = attempt(&mut stage, scenario);
        if outcome.is_none() {
            stage.tell();
        }
        table.add(pairing, scenario.name, outcome, began.elapsed());
    }
}

fn attempt(stage: &mut Stage, scenario: &Scenario) -> Option<Outcome> {
    let name = format!("{} {}", stage.pairing, scenario.name);
    let whole = || {
        let outcome = (scenario.run)(stage);
        stage.restore();
        outcome
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name(name).spawn_scoped(scope, whole).unwrap();
        thread.join().ok()
    })
}
