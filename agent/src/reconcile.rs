//! The loop: takes what happened, asks the plan, takes its steps, and publishes where everything stands.

mod announce;
mod outcome;
mod publish;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_app::Pending;
use ambit_netns::Namespace;
use ambit_zds::registry::{Pod, Registry};
use ambit_zds::server::Server;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::Pods;
use crate::controller::Captured;
use crate::operators::{Metrics, PodRow};
use crate::paths::Paths;
use crate::plan::{Rules, Sight, Sights, Standing, Step, all_due, failed_due, plan};
use crate::redirect::Redirect;
use crate::released::Released;
use crate::source::{self, Sourced};
use crate::threads::Threads;
use outcome::Done;

/// What failed or was missing is tried again after this.
const RETRY: Duration = Duration::from_secs(1);
/// ztunnel is served after this at the latest, whatever hangs.
const FIRST_ROUND: Duration = Duration::from_secs(10);

/// With more steps than this under way, outcomes are gathered for [`GATHER`] before the next plan, which looks at
/// every pod.
const CROWD: usize = 32;
const GATHER: Duration = Duration::from_millis(5);

/// What the loop works with.
pub(crate) struct Means {
    pub(crate) source: watch::Receiver<Sourced>,
    /// Asks the source to look again.
    pub(crate) look: Arc<Notify>,
    pub(crate) redirect: Redirect,
    pub(crate) threads: Threads,
    pub(crate) registry: Registry,
    pub(crate) controller: Option<ToController>,
    pub(crate) repair_interval: Duration,
    pub(crate) rows: watch::Sender<Arc<Vec<PodRow>>>,
    pub(crate) metrics: Metrics,
    pub(crate) pending: Pendings,
}

/// The two ends of the conversation with the controller.
pub(crate) struct ToController {
    pub(crate) captured: watch::Sender<Option<Captured>>,
    pub(crate) told: watch::Receiver<Option<u64>>,
}

/// What is not ready yet.
pub(crate) struct Pendings {
    pub(crate) configuration: Option<Pending>,
    pub(crate) zds: Option<Pending>,
    pub(crate) pods: Option<Pending>,
}

pub(crate) struct Reconciler {
    means: Means,
    wanted: Arc<Pods>,
    observed: Sights,
    /// The namespaces that were seen.
    held: BTreeMap<String, Namespace>,
    /// Pods that the controller is told of.
    captured: BTreeSet<String>,
    /// Pods whose rules were whole when this process first looked: an earlier agent's. Nothing but their proxy can have
    /// carried their traffic, so they stay announced.
    inherited: BTreeSet<String>,
    released: Released,
    revision: u64,
    said: BTreeMap<String, Standing>,
    said_warnings: BTreeMap<String, Vec<String>>,
    results: mpsc::UnboundedSender<Done>,
    /// Steps on the threads.
    under_way: usize,
    /// Since when a namespace waits for the resources to be read again, by uid.
    unconfirmed: BTreeMap<String, Instant>,
    /// When the first configuration came, until the first round is over.
    first_round: Option<Instant>,
    paths: Paths,
    server: Option<Server>,
    serving: Option<JoinHandle<()>>,
}

/// Reconciles for ever. `server` serves ztunnel once every pod has been looked at: ztunnel drops what is missing from
/// the first snapshot.
pub(crate) async fn run(means: Means, server: Server) -> anyhow::Error {
    let (results, mut done) = mpsc::unbounded_channel();
    let mut registry = means.registry.changes();
    let (mut source, mut told) = (means.source.clone(), means.controller.as_ref().map(|c| c.told.clone()));
    let mut repair = ticks(means.repair_interval);
    let mut retry = ticks(RETRY.min(means.repair_interval));
    let mut this = Reconciler::new(means, server, results);
    let first = source.borrow_and_update().clone();
    this.take_source(&first);
    loop {
        this.advance();
        let wake = this.next_wake();
        tokio::select! {
            changed = source.changed() => {
                if changed.is_err() {
                    return anyhow::anyhow!("the configuration is not read any more: this is a bug, please report it");
                }
                let sourced = source.borrow_and_update().clone();
                this.take_source(&sourced);
            }
            Some(first) = done.recv() => {
                this.take_done(first);
                if this.under_way > CROWD {
                    // The threads have enough to do: plan for many outcomes at once.
                    sleep(GATHER).await;
                }
                while let Ok(next) = done.try_recv() {
                    this.take_done(next);
                }
            }
            // Both senders live as long as this loop; what they say is read in `advance`.
            _ = registry.changed() => {}
            () = changed(&mut told) => {}
            () = ended(&mut this.serving) => {
                return anyhow::anyhow!("ztunnel is not served any more: this is a bug, please report it");
            }
            paths = this.paths.changed() => this.look_at(&paths),
            _ = repair.tick() => all_due(&this.wanted, &mut this.observed),
            _ = retry.tick() => {
                failed_due(&this.wanted, &mut this.observed);
                this.paths.follow(this.wanted.values().filter_map(|pod| pod.path.as_deref()));
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn ended(task: &mut Option<JoinHandle<()>>) {
    match task {
        Some(task) => drop(task.await),
        None => std::future::pending().await,
    }
}

async fn changed(told: &mut Option<watch::Receiver<Option<u64>>>) {
    let ended = match told {
        Some(told) => told.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending().await
    }
}

impl Reconciler {
    fn new(means: Means, server: Server, results: mpsc::UnboundedSender<Done>) -> Self {
        Self {
            means,
            wanted: Arc::default(),
            observed: Sights::new(),
            held: BTreeMap::new(),
            captured: BTreeSet::new(),
            inherited: BTreeSet::new(),
            released: Released::default(),
            revision: 0,
            said: BTreeMap::new(),
            said_warnings: BTreeMap::new(),
            results,
            under_way: 0,
            unconfirmed: BTreeMap::new(),
            first_round: None,
            paths: Paths::new(),
            server: Some(server),
            serving: None,
        }
    }

    /// What the resources want now.
    fn take_source(&mut self, sourced: &Sourced) {
        self.means.metrics.problems(sourced.problems);
        self.confirm(sourced.as_of);
        let Some(pods) = &sourced.pods else { return };
        if self.means.pending.configuration.take().is_some() {
            let enrolled = pods.values().filter(|pod| pod.is_enrolled()).count();
            tracing::info!(pods = pods.len(), enrolled, "the configuration is read");
            self.first_round = Some(Instant::now() + FIRST_ROUND);
            if let Some(line) = source::nobody_here(pods, &sourced.nodes) {
                tracing::warn!("{line}");
            }
        }
        if Arc::ptr_eq(pods, &self.wanted) {
            return;
        }
        for (uid, seen) in &mut self.observed {
            seen.look_due |= pods.get(uid) != self.wanted.get(uid);
        }
        self.wanted = Arc::clone(pods);
        self.paths.follow(pods.values().filter_map(|pod| pod.path.as_deref()));
        self.say_warnings();
    }

    /// The resources were read after these namespaces had been seen; whose they are now is known.
    fn confirm(&mut self, as_of: Option<Instant>) {
        let Some(as_of) = as_of else { return };
        let observed = &mut self.observed;
        self.unconfirmed.retain(|uid, since| {
            let waits = as_of <= *since;
            if !waits && let Some(seen) = observed.get_mut(uid) {
                seen.unconfirmed = false;
            }
            waits
        });
    }

    /// Something has happened at these paths.
    fn look_at(&mut self, paths: &BTreeSet<PathBuf>) {
        for seen in self.observed.values_mut() {
            seen.look_due |= seen.path.as_ref().is_some_and(|path| paths.contains(path));
        }
    }

    /// Takes steps until there is none that can be taken now.
    fn advance(&mut self) {
        loop {
            self.announce();
            let steps = plan(&self.wanted, &self.observed);
            let mut again = false;
            for (uid, step) in steps {
                again |= self.take(uid, step);
            }
            if !again {
                break;
            }
        }
        self.end_first_round();
        self.publish();
    }

    /// Takes a step, or begins one on a thread; tells whether it is taken.
    fn take(&mut self, uid: String, step: Step) -> bool {
        match step {
            Step::Look(path) => {
                let redirect = self.means.redirect.clone();
                self.begin(uid, move || {
                    let (sight, namespace) = redirect.look(&path);
                    outcome::Outcome::Looked { path, sight, namespace }
                });
                false
            }
            Step::Enforce(options) => {
                let Some(namespace) = self.held.get(&uid).cloned() else { return self.lost(&uid) };
                let redirect = self.means.redirect.clone();
                let fresh = self.observed.get(&uid).is_none_or(|seen| seen.rules == Rules::Unknown);
                self.begin(uid, move || {
                    let result = redirect.enforce(&namespace, &options, fresh);
                    outcome::Outcome::Enforced { options, result }
                });
                false
            }
            Step::Clear => {
                let Some(namespace) = self.held.get(&uid).cloned() else { return self.lost(&uid) };
                let redirect = self.means.redirect.clone();
                self.begin(uid, move || outcome::Outcome::Cleared(redirect.clear(&namespace)));
                false
            }
            Step::Hand => self.hand(uid),
            Step::Withdraw => {
                self.means.registry.remove(&uid);
                let seen = self.observed.entry(uid.clone()).or_default();
                if let Some((_, identity)) = seen.handed.take() {
                    tracing::info!("pod {}/{}: taken from ztunnel", identity.namespace, identity.name);
                }
                true
            }
            Step::Forget => {
                self.means.registry.remove(&uid);
                self.held.remove(&uid);
                self.inherited.remove(&uid);
                self.observed.remove(&uid);
                self.said.remove(&uid);
                self.said_warnings.remove(&uid);
                true
            }
        }
    }

    fn begin(&mut self, uid: String, work: impl FnOnce() -> outcome::Outcome + Send + 'static) {
        self.observed.entry(uid.clone()).or_default().busy = true;
        self.under_way += 1;
        let results = self.results.clone();
        // Fails when the loop has ended.
        self.means.threads.run(move || drop(results.send(Done { uid, outcome: work() })));
    }

    /// A namespace that counts as seen is always held; should it not be, it is looked for.
    fn lost(&mut self, uid: &str) -> bool {
        let seen = self.observed.entry(uid.to_owned()).or_default();
        seen.sight = Sight::Unseen;
        seen.look_due = true;
        true
    }

    fn hand(&mut self, uid: String) -> bool {
        let (Some(pod), Some(namespace)) = (self.wanted.get(&uid), self.held.get(&uid)) else {
            return self.lost(&uid);
        };
        let identity = pod.identity.clone();
        let seen = self.observed.entry(uid.clone()).or_default();
        let given = namespace.as_fd().try_clone_to_owned().map_err(|error| {
            format!("its network namespace cannot be given to ztunnel ({error}): raise the limit of open files (ulimit -n)")
        });
        let given = given.and_then(|netns| {
            let pod = Pod { uid: uid.clone(), identity: identity.clone(), netns: Arc::new(netns) };
            self.means.registry.upsert(pod).map_err(|error| error.to_string())
        });
        match given {
            Ok(()) => seen.handed = Some((namespace.id(), identity)),
            Err(reason) => (seen.rules, seen.rules_due) = (Rules::Failed(reason), false),
        }
        true
    }

    fn next_wake(&self) -> Option<Instant> {
        [self.released.next(), self.first_round].into_iter().flatten().min()
    }

    /// Begins to serve ztunnel when every pod has been seen to once.
    fn end_first_round(&mut self) {
        let Some(limit) = self.first_round else { return };
        // A namespace that waits for the resources to be read again is not handed over yet either.
        let working = self.observed.values().any(|seen| seen.busy || seen.unconfirmed);
        if working && Instant::now() < limit {
            return;
        }
        self.first_round = None;
        if let Some(server) = self.server.take() {
            self.serving = Some(tokio::spawn(server.run(self.means.registry.clone())));
            tracing::info!("ztunnel is served");
        }
        self.means.pending.zds.take();
        // What was held back until now.
        self.announce();
    }
}
