//! A destination as configuration has it at one moment: its rules, its limits, its endpoints.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ambit_identity::ApplicationTls;
use ambit_model::l7::destination_rule::{Algorithm, LoadBalancer, TrafficPolicy, UpstreamTls};
use ambit_model::service::AppProtocol;
use ambit_model::{Service, Snapshot, Text, Workload};
use ambit_policy::balance::{Candidate, candidates};
use ambit_policy::request::balance::Load;
use ambit_policy::request::limit::Places;
use ambit_policy::request::locality::{self, Position};
use ambit_policy::request::retry::Budget;
use ambit_policy::{Family, NoEndpoint};
use arc_swap::ArcSwapOption;
use rand::Rng;

use super::groups::{Groups, Place, Wish};
use super::{Destination, Health, next_number};
use crate::endpoint::{Endpoint, NoWay, endpoint};
use crate::rules::InForce;

/// Longest wait for a connection to an endpoint (Istio's `connectTimeout`).
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How an endpoint is chosen where nobody says (Istio's default).
const LEAST_REQUEST: LoadBalancer =
    LoadBalancer { algorithm: Algorithm::LeastRequest, warmup: None, locality: None };

/// Why nothing can be sent to a destination.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Uncallable {
    /// The service is gone.
    #[error("service {0} is not known any more")]
    Gone(ambit_model::service::ServiceKey),
    /// The workload is gone, or lost the address.
    #[error("{0} is not an address of the workload any more")]
    Moved(SocketAddr),
    /// The rules do not say how, or ask for what cannot be done.
    #[error("{0}")]
    Rules(Text),
    /// It has no endpoint that may be chosen.
    #[error(transparent)]
    NoEndpoint(#[from] NoEndpoint),
    /// Those that it has cannot be reached from here.
    #[error(transparent)]
    NoWay(#[from] NoWay),
    /// None of its endpoints has the labels of the subset.
    #[error("no endpoint has the labels of subset {0}")]
    EmptySubset(Text),
    /// All of its endpoints fail.
    #[error("every endpoint is left out because it fails")]
    Ejected,
}

/// A destination at one moment.
#[derive(Debug)]
pub struct Current {
    seen: Seen,
    /// `None` of a workload that is asked for by its address.
    service: Option<Arc<Service>>,
    own: Option<Arc<Workload>>,
    rules: Arc<Rules>,
    groups: Arc<Result<Groups, Uncallable>>,
    /// What the endpoints were made of.
    made_of: Arc<[Candidate]>,
    protocol: AppProtocol,
    /// Room for requests.
    pub requests: Places,
    /// Room to wait for a connection.
    pub pending: Places,
    /// Room for connections.
    pub connections: Places,
    /// How many retries may be under way.
    pub budget: Budget,
}

/// What configuration it follows from. Weak: an old snapshot must not live as long as a destination that nobody asks for.
#[derive(Debug)]
struct Seen {
    snapshot: Weak<Snapshot>,
    rules: Weak<InForce>,
}

/// What the rules say.
#[derive(Debug)]
pub(super) struct Rules {
    policy: TrafficPolicy,
    labels: Vec<(Text, Text)>,
    /// They refuse, and not only what they ask for cannot be done.
    said_no: bool,
    refused: Option<Text>,
    /// How the application is spoken to, inside the tunnel.
    tls: Option<Arc<ApplicationTls>>,
    number: u64,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// This proxy's workload.
    pub own: &'a Arc<Workload>,
    /// The family of the address that the client dialled.
    pub family: Family,
    /// The namespace of this proxy: rules are those of its clients (Istio: of the waypoint).
    pub namespace: &'a Text,
}

impl Destination {
    /// The destination as configuration has it.
    ///
    /// # Errors
    /// The service is gone.
    pub(crate) fn current(
        &self,
        snapshot: &Arc<Snapshot>,
        in_force: &Arc<InForce>,
        asker: Asker<'_>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Arc<Current>, Uncallable> {
        let slot = self.slot(asker.family);
        let before = slot.load_full();
        if let Some(before) = &before
            && before.seen.is(snapshot, in_force)
        {
            return Ok(before.clone());
        }
        let next = Arc::new(self.make(snapshot, in_force, asker, before.as_deref(), now, rng)?);
        slot.store(Some(next.clone()));
        Ok(next)
    }

    fn make(
        &self,
        snapshot: &Arc<Snapshot>,
        in_force: &Arc<InForce>,
        asker: Asker<'_>,
        before: Option<&Current>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Current, Uncallable> {
        let service = snapshot.service(&self.service).cloned();
        let service = service.ok_or_else(|| Uncallable::Gone(self.service.clone()))?;
        let rules = self.rules(in_force, asker, before, now);
        let found = candidates(snapshot, &service, self.port, asker.own, asker.family);
        let made_of: Arc<[Candidate]> = match &found {
            Ok(all) => all.iter().filter(|each| in_subset(each, &rules.labels, in_force)).cloned().collect(),
            Err(_) => Arc::default(),
        };
        let same = before.filter(|before| {
            Arc::ptr_eq(&before.rules, &rules)
                && before.service.as_ref().is_some_and(|before| Arc::ptr_eq(before, &service))
                && before.own.as_ref().is_some_and(|before| Arc::ptr_eq(before, asker.own))
                && (before.seen.has(in_force) || !rules.go_by_labels())
                && before.groups.is_ok()
                && are_same(&before.made_of, &made_of)
        });
        let (made_of, groups) = match (same, found) {
            (Some(before), _) => (before.made_of.clone(), before.groups.clone()),
            (None, Err(missing)) => (made_of, Arc::new(Err(missing.into()))),
            (None, Ok(_)) => {
                let groups = self.groups(&made_of, &rules, &service, in_force, asker, now, rng);
                (made_of, Arc::new(groups))
            }
        };
        let listed = service.ports.iter().find(|listed| listed.service_port == self.port);
        let protocol = listed.map(|listed| listed.protocol).unwrap_or_default();
        let pool = rules.policy.connections.unwrap_or_default();
        Ok(Current {
            seen: Seen { snapshot: Arc::downgrade(snapshot), rules: Arc::downgrade(in_force) },
            protocol,
            requests: self.requests.limited(pool.max_requests),
            pending: self.pending.limited(pool.max_pending),
            connections: self.connections.limited(pool.max_connections),
            budget: Budget::new(rules.policy.retry_budget, rules.policy.connections.as_ref()),
            service: Some(service),
            own: Some(asker.own.clone()),
            rules,
            groups,
            made_of,
        })
    }

    /// What the rules say, the same value where they say the same as before.
    fn rules(
        &self,
        in_force: &InForce,
        asker: Asker<'_>,
        before: Option<&Current>,
        now: Instant,
    ) -> Arc<Rules> {
        let said =
            in_force.traffic().traffic(&self.service, self.port, self.subset.as_ref(), Some(asker.namespace));
        let (policy, labels, mut refused) = match said {
            Ok(traffic) => (traffic.policy, traffic.labels, None),
            Err(refused) => (TrafficPolicy::default(), Vec::new(), Some(Text::from(refused.to_string()))),
        };
        let old = before.map(|before| &before.rules);
        let is_same = |old: &Rules| {
            old.policy == policy
                && old.labels == labels
                && (old.said_no == refused.is_some())
                && (refused.is_none() || old.refused == refused)
        };
        if let Some(old) = old.filter(|old| is_same(old)) {
            return old.clone();
        }
        let said_no = refused.is_some();
        let mut tls = None;
        if let Some(settings) = &policy.tls {
            match secured(settings) {
                Ok(made) => tls = Some(Arc::new(made)),
                // Without it nothing is sent.
                Err(why) => drop(refused.get_or_insert(why)),
            }
        }
        if policy.proxy_protocol.is_some() {
            refused.get_or_insert_with(|| "proxyProtocol is not spoken to endpoints: remove it".into());
        }
        self.health.configure(policy.outlier, now);
        // What was connected by other rules is not used by these.
        let as_before = old
            .filter(|old| old.policy.tls == policy.tls && old.policy.proxy_protocol == policy.proxy_protocol);
        let number = as_before.map_or_else(next_number, |old| old.number);
        Arc::new(Rules { policy, labels, said_no, refused, tls, number })
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is what endpoints follow from")]
    fn groups(
        &self,
        made_of: &[Candidate],
        rules: &Rules,
        service: &Service,
        in_force: &InForce,
        asker: Asker<'_>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<Groups, Uncallable> {
        let settings = rules.policy.load_balancer.as_ref().unwrap_or(&LEAST_REQUEST);
        let by_place = settings.locality.as_ref().filter(|setting| setting.enabled);
        let shares = by_place.and_then(|setting| locality::shares(setting, &asker.own.locality));
        // Without a rule about failing endpoints, there is no reason to go further away (Istio).
        let tiers = by_place.filter(|_| shares.is_none() && rules.policy.outlier.is_some());
        let best = made_of.iter().map(|each| each.rank).max().unwrap_or(0);
        let own = Position { locality: &asker.own.locality, labels: in_force.labels(&asker.own.uid) };
        let mut grouped: Vec<Vec<(Place, u32)>> = Vec::new();
        let mut no_way = None;
        for each in made_of {
            let workload = &each.chosen.workload;
            let number = match (shares, tiers) {
                (Some(shares), _) => {
                    match shares.iter().position(|(place, _)| locality::covers(place, &workload.locality)) {
                        Some(number) => number,
                        None => continue,
                    }
                }
                (None, Some(setting)) => {
                    let labels = in_force.labels(&workload.uid);
                    locality::tier(setting, own, Position { locality: &workload.locality, labels })
                }
                (None, None) => best - each.rank,
            };
            let endpoint = match endpoint(asker.own, each.chosen.clone(), Some(service)) {
                Ok(endpoint) => endpoint,
                Err(why) => {
                    no_way = Some(why);
                    continue;
                }
            };
            if grouped.len() <= number {
                grouped.resize_with(number + 1, Vec::new);
            }
            grouped[number].push((self.place(endpoint, now), each.weight));
        }
        if grouped.iter().all(Vec::is_empty) {
            return Err(match (no_way, &self.subset) {
                (Some(why), _) => why.into(),
                (None, Some(subset)) => Uncallable::EmptySubset(subset.clone()),
                (None, None) => Uncallable::Rules("no endpoint is where the locality setting sends".into()),
            });
        }
        self.forget_all_but(&grouped);
        let shares: Option<Vec<u32>> = shares.map(|shares| shares.iter().map(|(_, share)| *share).collect());
        Ok(Groups::new(settings, grouped, shares.as_deref(), rng))
    }

    /// Forgets endpoints that are neither among these nor among those for clients of the other family.
    fn forget_all_but(&self, grouped: &[Vec<(Place, u32)>]) {
        let known: Vec<Arc<Current>> = self.current.iter().filter_map(ArcSwapOption::load_full).collect();
        let other = known.iter().filter_map(|current| current.groups.as_ref().as_ref().ok());
        let keys = grouped.iter().flatten().map(|(place, _)| place).chain(other.flat_map(Groups::places));
        let keys: HashSet<Text> = keys.map(|place| place.key.clone()).collect();
        self.health.retain(|key| keys.contains(key));
        self.loads.lock().retain(|key, load| keys.contains(key) || Arc::strong_count(load) > 1);
    }

    fn place(&self, endpoint: Endpoint, now: Instant) -> Place {
        let key: Text = endpoint.address.to_string().into();
        let load = self.load(&key, now);
        Place { key, endpoint, load }
    }
}

impl Seen {
    fn is(&self, snapshot: &Arc<Snapshot>, rules: &Arc<InForce>) -> bool {
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot)) && self.has(rules)
    }

    fn has(&self, rules: &Arc<InForce>) -> bool {
        std::ptr::eq(self.rules.as_ptr(), Arc::as_ptr(rules))
    }
}

fn secured(settings: &UpstreamTls) -> Result<ApplicationTls, Text> {
    match &settings.invalid {
        Some(why) => Err(why.clone()),
        None => ApplicationTls::new(settings).map_err(|why| why.to_string().into()),
    }
}

fn in_subset(candidate: &Candidate, wanted: &[(Text, Text)], in_force: &InForce) -> bool {
    let labels = || in_force.labels(&candidate.chosen.workload.uid);
    wanted.iter().all(|label| labels().contains(label))
}

fn are_same(before: &[Candidate], after: &[Candidate]) -> bool {
    let is_same = |(one, other): (&Candidate, &Candidate)| {
        Arc::ptr_eq(&one.chosen.workload, &other.chosen.workload)
            && one.chosen.target_port == other.chosen.target_port
            && one.chosen.address == other.chosen.address
            && (one.weight, one.rank) == (other.weight, other.rank)
    };
    before.len() == after.len() && before.iter().zip(after).all(is_same)
}

impl Rules {
    /// Whether labels say how near an endpoint is.
    fn go_by_labels(&self) -> bool {
        let balancer = self.policy.load_balancer.as_ref();
        balancer
            .and_then(|each| each.locality.as_ref())
            .is_some_and(|each| !each.failover_priority.is_empty())
    }
}

impl Current {
    /// A workload that is asked for by its address: no rules are about it.
    pub fn of_workload(endpoint: Endpoint, protocol: AppProtocol, now: Instant, rng: &mut impl Rng) -> Self {
        let places = || Places::new(None);
        let key: Text = endpoint.address.to_string().into();
        let place = Place { key, endpoint, load: Arc::new(Load::new(now)) };
        let groups = Groups::new(&LEAST_REQUEST, vec![vec![(place, 1)]], None, rng);
        let (policy, labels) = (TrafficPolicy::default(), Vec::new());
        Self {
            seen: Seen { snapshot: Weak::new(), rules: Weak::new() },
            service: None,
            own: None,
            rules: Arc::new(Rules { policy, labels, said_no: false, refused: None, tls: None, number: 0 }),
            groups: Arc::new(Ok(groups)),
            made_of: Arc::default(),
            protocol,
            requests: places(),
            pending: places(),
            connections: places(),
            budget: Budget::Unlimited,
        }
    }

    /// The service as it is; `None` of a workload that is asked for by its address.
    pub fn service(&self) -> Option<&Arc<Service>> {
        self.service.as_ref()
    }

    /// What its port declares.
    pub fn protocol(&self) -> AppProtocol {
        self.protocol
    }

    /// The rules, block by block.
    pub fn policy(&self) -> &TrafficPolicy {
        &self.rules.policy
    }

    /// How the application is spoken to, inside the tunnel.
    pub fn tls(&self) -> Option<&Arc<ApplicationTls>> {
        self.rules.tls.as_ref()
    }

    /// What its connections are known by; others than those of this number are not used.
    pub fn number(&self) -> u64 {
        self.rules.number
    }

    /// How many endpoints there are.
    pub fn total(&self) -> usize {
        self.groups.as_ref().as_ref().map_or(0, Groups::total)
    }

    /// Longest wait for a connection.
    pub fn connect_patience(&self) -> Duration {
        self.rules.policy.connections.and_then(|pool| pool.connect_timeout).unwrap_or(CONNECT_PATIENCE)
    }

    /// Whether it has this endpoint.
    pub fn has(&self, key: &str) -> bool {
        self.groups.as_ref().as_ref().is_ok_and(|groups| groups.places().any(|place| *place.key == *key))
    }

    /// An endpoint for a request.
    ///
    /// # Errors
    /// There is none.
    pub fn choose(
        &self,
        health: &Health,
        wish: Wish<'_>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Result<&Place, Uncallable> {
        if let Some(refused) = &self.rules.refused {
            return Err(Uncallable::Rules(refused.clone()));
        }
        let groups = self.groups.as_ref().as_ref().map_err(Clone::clone)?;
        groups.choose(health, wish, now, rng).ok_or(Uncallable::Ejected)
    }
}
