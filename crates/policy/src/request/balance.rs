//! Which endpoint gets this request? (Istio LoadBalancerSettings, with Envoy's defaults; peak EWMA besides)
//!
//! A [`Balancer`] is made once for a list of endpoints and never changes; what it learns is in each endpoint's [`Load`],
//! which outlives the list. Which endpoints may be used at all is the caller's word: ejected ones, full ones and those that
//! have failed this request before.

mod hash;
mod load;
mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ambit_model::Text;
use ambit_model::l7::destination_rule::{Algorithm, HashRing, LoadBalancer, Warmup};
use rand::{Rng, RngExt};

pub use hash::{HashInput, NewCookie, hash_input, stable_hash};
pub use load::{Active, Load};
use table::{Maglev, Ring};

/// How often an endpoint is drawn again that may not be used, before all are looked through.
const DRAWS: usize = 8;

/// One endpoint.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What it is known by: hashes are of this, so that every replica agrees.
    pub key: Text,
    /// Its share is its weight over the sum of weights; 0 counts as 1.
    pub weight: u32,
    /// What is known about its load.
    pub load: Arc<Load>,
}

impl Endpoint {
    fn weight(&self) -> u64 {
        u64::from(self.weight.max(1))
    }
}

/// Endpoints and a rule to choose one.
#[derive(Debug)]
pub struct Balancer {
    endpoints: Vec<Endpoint>,
    /// Sums of weights up to each endpoint, itself included.
    sums: Vec<u64>,
    warmup: Option<Warmup>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    LeastRequest,
    PeakEwma,
    Random,
    RoundRobin { schedule: Vec<u32>, next: AtomicUsize },
    Ring(Ring),
    Maglev(Maglev),
}

impl Balancer {
    /// A balancer over endpoints. `seed` is where a round begins: a random number, so that replicas do not march in
    /// step. [`Algorithm::Passthrough`] is not a choice among endpoints; it is made at random where it must be made.
    pub fn new(settings: &LoadBalancer, endpoints: Vec<Endpoint>, seed: usize) -> Self {
        let sums = endpoints.iter().scan(0, |sum, endpoint| {
            *sum += endpoint.weight();
            Some(*sum)
        });
        let rule = match &settings.algorithm {
            Algorithm::LeastRequest => Rule::LeastRequest,
            Algorithm::PeakEwma => Rule::PeakEwma,
            Algorithm::Random | Algorithm::Passthrough => Rule::Random,
            Algorithm::RoundRobin => {
                let weights: Vec<u64> = endpoints.iter().map(Endpoint::weight).collect();
                Rule::RoundRobin { schedule: table::schedule(&weights), next: AtomicUsize::new(seed) }
            }
            Algorithm::Hash { ring: HashRing::Ring(least), .. } => Rule::Ring(Ring::new(&endpoints, *least)),
            Algorithm::Hash { ring: HashRing::Maglev(size), .. } => {
                Rule::Maglev(Maglev::new(&endpoints, *size))
            }
        };
        Self { sums: sums.collect(), warmup: settings.warmup, rule, endpoints }
    }

    /// The endpoints, in the order that indices mean.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The index of an endpoint for a request, among those that `usable` accepts; `None` where it accepts none. `hash`
    /// is of the request ([`hash_input`]); without one, hashing rules choose at random.
    pub fn choose(
        &self,
        hash: Option<u64>,
        usable: impl Fn(usize) -> bool,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        match (&self.rule, hash) {
            (Rule::LeastRequest, _) => self.better_of_two(&usable, now, rng, |one, other| {
                // Less per weight: a/v < b/w without a division.
                let cost = |of: usize, by: usize| {
                    u64::from(self.endpoints[of].load.active()) * self.endpoints[by].weight()
                };
                cost(other, one) < cost(one, other)
            }),
            (Rule::PeakEwma, _) => self.better_of_two(&usable, now, rng, |one, other| {
                let (one, other) = (&self.endpoints[one].load, &self.endpoints[other].load);
                match (one.score(now), other.score(now)) {
                    (Some(one), Some(other)) => other < one,
                    // Nothing is known of one of them.
                    _ => other.active() < one.active(),
                }
            }),
            (Rule::RoundRobin { schedule, next }, _) => {
                let turn = |_| schedule.get(next.fetch_add(1, Ordering::Relaxed) % schedule.len().max(1));
                let mut turns = (0..schedule.len()).filter_map(turn).map(|at| *at as usize);
                let warm = turns.find(|at| usable(*at) && self.is_warm(*at, now, rng));
                warm.or_else(|| self.draw(&usable, now, rng))
            }
            // An endpoint of little weight may have no place in a small table.
            (Rule::Ring(ring), Some(hash)) => {
                ring.find(hash, &usable).or_else(|| self.draw(&usable, now, rng))
            }
            (Rule::Maglev(table), Some(hash)) => {
                table.find(hash, &usable).or_else(|| self.draw(&usable, now, rng))
            }
            (Rule::Random | Rule::Ring(_) | Rule::Maglev(_), _) => self.draw(&usable, now, rng),
        }
    }

    /// One by weight, or another that is better.
    fn better_of_two(
        &self,
        usable: &impl Fn(usize) -> bool,
        now: Instant,
        rng: &mut impl Rng,
        is_better: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let one = self.draw(usable, now, rng)?;
        let other = self.draw(&|at| at != one && usable(at), now, rng);
        Some(other.filter(|other| is_better(one, *other)).unwrap_or(one))
    }

    /// One by weight, among those that may be used; those that are new less often.
    fn draw(&self, usable: &impl Fn(usize) -> bool, now: Instant, rng: &mut impl Rng) -> Option<usize> {
        let total = *self.sums.last()?;
        for _ in 0..DRAWS {
            let drawn = rng.random_range(0..total);
            let at = self.sums.partition_point(|sum| *sum <= drawn);
            if usable(at) && self.is_warm(at, now, rng) {
                return Some(at);
            }
        }
        let left: u64 = self.usable(usable).map(|(_, weight)| weight).sum();
        if left == 0 {
            return None;
        }
        let mut drawn = rng.random_range(0..left);
        for (at, weight) in self.usable(usable) {
            match drawn.checked_sub(weight) {
                Some(rest) => drawn = rest,
                None => return Some(at),
            }
        }
        None
    }

    fn usable<'a>(&'a self, usable: &'a impl Fn(usize) -> bool) -> impl Iterator<Item = (usize, u64)> + 'a {
        let weights = self.endpoints.iter().map(Endpoint::weight).enumerate();
        weights.filter(move |(at, _)| usable(*at))
    }

    /// Whether an endpoint takes what it is offered: always once it is warm, before in proportion to its age.
    fn is_warm(&self, at: usize, now: Instant, rng: &mut impl Rng) -> bool {
        let Some(warmup) = self.warmup.filter(|warmup| !warmup.duration.is_zero()) else { return true };
        let age = now.saturating_duration_since(self.endpoints[at].load.since());
        if age >= warmup.duration {
            return true;
        }
        let share = age.as_secs_f64() / warmup.duration.as_secs_f64();
        let curve = if warmup.aggression > 0.0 { share.powf(1.0 / warmup.aggression) } else { share };
        rng.random_range(0.0..1.0) < curve.max(warmup.minimum / 100.0)
    }
}

#[cfg(test)]
mod tests;
