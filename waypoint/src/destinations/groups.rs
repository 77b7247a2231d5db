//! The endpoints of a destination, in groups of which one takes a request: by nearness, or by shares of places.

use std::net::SocketAddr;
use std::time::Instant;

use ambit_model::Text;
use ambit_model::l7::destination_rule::{Algorithm, LoadBalancer};
use ambit_policy::request::balance::{self, Balancer};
use ambit_policy::request::locality::choose_tier;
use rand::{Rng, RngExt};

use super::Health;
use super::health::Usable;
use crate::endpoint::Endpoint;

/// An endpoint and what it is known by.
#[derive(Debug, Clone)]
pub struct Place {
    /// Address and port, as text.
    pub key: Text,
    /// How it is reached.
    pub endpoint: Endpoint,
    /// What is known about its load.
    pub load: std::sync::Arc<balance::Load>,
}

/// What may be chosen of.
#[derive(Debug)]
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The groups have shares; otherwise the first are the nearest.
    shared: bool,
    total: usize,
    hashes: bool,
}

#[derive(Debug)]
struct Group {
    share: u32,
    balancer: Balancer,
    places: Vec<Place>,
}

/// What is wished of a choice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish<'w> {
    /// A hash of the request.
    pub hash: Option<u64>,
    /// The endpoint of its session.
    pub session: Option<&'w str>,
    /// Endpoints that it has tried.
    pub avoid: &'w [SocketAddr],
}

impl Groups {
    /// Groups of endpoints with their weights. `shares` are those of the groups, where they have some.
    pub(super) fn new(
        settings: &LoadBalancer,
        grouped: Vec<Vec<(Place, u32)>>,
        shares: Option<&[u32]>,
        rng: &mut impl Rng,
    ) -> Self {
        let total = grouped.iter().map(Vec::len).sum();
        let group = |(at, members): (usize, Vec<(Place, u32)>)| {
            let balanced = members.iter().map(|(place, weight)| balance::Endpoint {
                key: place.key.clone(),
                weight: *weight,
                load: place.load.clone(),
            });
            let balancer = Balancer::new(settings, balanced.collect(), rng.random::<u16>().into());
            let places = members.into_iter().map(|(place, _)| place).collect();
            let share = shares.and_then(|shares| shares.get(at)).copied().unwrap_or(0);
            Group { share, balancer, places }
        };
        let groups = grouped.into_iter().enumerate().map(group).filter(|group| !group.places.is_empty());
        let groups = groups.collect();
        let hashes = matches!(settings.algorithm, Algorithm::Hash { .. });
        Self { groups, shared: shares.is_some(), total, hashes }
    }

    /// How many endpoints there are.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    pub(super) fn places(&self) -> impl Iterator<Item = &Place> {
        self.groups.iter().flat_map(|group| &group.places)
    }

    /// An endpoint for a request; `None` where none may be used.
    pub(super) fn choose(
        &self,
        health: &Health,
        wish: Wish<'_>,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<&Place> {
        health.ask(self.total, now, |asked| {
            let usable = |key: &str| asked.is_none_or(|usable| usable(key));
            let of_session = |place: &&Place| Some(&*place.key) == wish.session && usable(&place.key);
            if wish.session.is_some()
                && let Some(place) = self.places().find(of_session)
            {
                return Some(place);
            }
            let group = self.group(asked, rng)?;
            let untried = |at: usize| !wish.avoid.contains(&group.places[at].endpoint.address);
            let healthy = |at: usize| usable(&group.places[at].key);
            // A hash means one endpoint, also the second time.
            let elsewhere = !wish.avoid.is_empty() && !self.hashes;
            let first = elsewhere
                .then(|| group.balancer.choose(wish.hash, |at| untried(at) && healthy(at), now, rng))
                .flatten();
            let chosen = first.or_else(|| group.balancer.choose(wish.hash, healthy, now, rng));
            chosen.and_then(|at| group.places.get(at))
        })
    }

    fn group(&self, asked: Option<Usable<'_>>, rng: &mut impl Rng) -> Option<&Group> {
        if self.groups.len() < 2 || (asked.is_none() && !self.shared) {
            return self.groups.first();
        }
        let healthy = |group: &Group| match asked {
            Some(usable) => group.places.iter().filter(|place| usable(&place.key)).count(),
            None => group.places.len(),
        };
        if !self.shared {
            let tiers: Vec<(usize, usize)> =
                self.groups.iter().map(|group| (healthy(group), group.places.len())).collect();
            return choose_tier(&tiers, rng).and_then(|at| self.groups.get(at));
        }
        let able = || self.groups.iter().filter(|group| healthy(group) > 0);
        let total: u64 = able().map(|group| u64::from(group.share)).sum();
        if total == 0 {
            return None;
        }
        let mut left = rng.random_range(0..total);
        able().find(|group| match left.checked_sub(u64::from(group.share)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        })
    }
}
