//! Tables from which endpoints are taken: a round by weight, a ring, Maglev's.

use super::Endpoint;
use super::hash::stable_hash;

/// The longest round: weights are scaled down to it.
const LONGEST_ROUND: u64 = 4096;

/// The most points on a ring (Envoy's limit is 8 Mi).
const MOST_POINTS: u64 = 1 << 20;

/// The largest table of Maglev's (Envoy's limit).
const LARGEST_TABLE: u32 = 5_000_011;

/// Indices by weight, the heavy ones spread over the round (smooth weighted round robin).
pub(super) fn schedule(weights: &[u64]) -> Vec<u32> {
    let common = weights.iter().copied().fold(0, greatest_common_divisor).max(1);
    let total: u64 = weights.iter().map(|weight| weight / common).sum();
    let scale = total.div_ceil(LONGEST_ROUND).max(1);
    let weights: Vec<u64> = weights.iter().map(|weight| (weight / common / scale).max(1)).collect();
    if weights.iter().all(|weight| *weight == 1) {
        return (0..).take(weights.len()).collect();
    }
    let total: u64 = weights.iter().sum();
    // Who waits longest in proportion to its weight is next: the next turns, as fractions, in order.
    let mut turns: Vec<(u64, u32)> = Vec::new();
    for (at, weight) in (0u32..).zip(&weights) {
        turns.extend((0..*weight).map(|turn| ((2 * turn + 1) * total / weight, at)));
    }
    turns.sort_unstable();
    turns.into_iter().map(|(_, at)| at).collect()
}

fn greatest_common_divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { greatest_common_divisor(other, one % other) }
}

/// Points of endpoints on a ring, by hash.
#[derive(Debug)]
pub(super) struct Ring(Vec<(u64, u32)>);

impl Ring {
    /// At least so many points, each endpoint in proportion to its weight.
    pub(super) fn new(endpoints: &[Endpoint], least: u32) -> Self {
        let total: u64 = endpoints.iter().map(Endpoint::weight).sum();
        let lightest = endpoints.iter().map(Endpoint::weight).min().unwrap_or(1);
        // The lightest has a power of two of points, so that few move when endpoints come and go.
        let each = (u64::from(least.max(1)) * lightest).div_ceil(total.max(1)).max(1).next_power_of_two();
        let most = (MOST_POINTS / (endpoints.len() as u64).max(1)).max(1);
        let mut points = Vec::new();
        for (at, endpoint) in (0u32..).zip(endpoints) {
            let count = (each * endpoint.weight() / lightest).min(most);
            points.extend(
                (0..count).map(|point| (stable_hash(format!("{}_{point}", endpoint.key).as_bytes()), at)),
            );
        }
        points.sort_unstable();
        Self(points)
    }

    /// The endpoint of the next point that may be used.
    pub(super) fn find(&self, hash: u64, usable: &impl Fn(usize) -> bool) -> Option<usize> {
        let begin = self.0.partition_point(|(point, _)| *point < hash);
        let (before, after) = self.0.split_at(begin);
        let mut points = after.iter().chain(before).map(|(_, at)| *at as usize);
        points.find(|at| usable(*at))
    }
}

/// Maglev's table: an endpoint for each place.
#[derive(Debug)]
pub(super) struct Maglev(Vec<u32>);

impl Maglev {
    /// A table of so many places, or of the next prime number of them.
    pub(super) fn new(endpoints: &[Endpoint], size: u32) -> Self {
        if endpoints.is_empty() {
            return Self(Vec::new());
        }
        let size = next_prime(size.clamp(2, LARGEST_TABLE)) as usize;
        let heaviest = endpoints.iter().map(Endpoint::weight).max().unwrap_or(1);
        // Each endpoint has its own order of places and takes the first that is free, by turns, the light ones less often.
        let mut orders: Vec<(usize, usize)> = endpoints
            .iter()
            .map(|endpoint| {
                let hash = stable_hash(endpoint.key.as_bytes());
                let skip = stable_hash(&hash.to_be_bytes());
                ((hash % size as u64) as usize, (skip % (size as u64 - 1)) as usize + 1)
            })
            .collect();
        let mut credit = vec![0; endpoints.len()];
        let mut places = vec![u32::MAX; size];
        let mut left = size;
        while left > 0 {
            for (at, endpoint) in endpoints.iter().enumerate() {
                credit[at] += endpoint.weight();
                if credit[at] < heaviest || left == 0 {
                    continue;
                }
                credit[at] -= heaviest;
                let (place, skip) = &mut orders[at];
                while places[*place] != u32::MAX {
                    *place = (*place + *skip) % size;
                }
                places[*place] = at as u32;
                left -= 1;
            }
        }
        Self(places)
    }

    /// The endpoint of the hash's place, or of the next place whose endpoint may be used.
    pub(super) fn find(&self, hash: u64, usable: &impl Fn(usize) -> bool) -> Option<usize> {
        let size = self.0.len();
        let begin = (hash % (size as u64).max(1)) as usize;
        let mut places =
            (0..size).filter_map(|step| self.0.get((begin + step) % size)).map(|at| *at as usize);
        places.find(|at| usable(*at))
    }
}

fn next_prime(least: u32) -> u32 {
    let is_prime = |number: &u32| {
        (2..).take_while(|factor| factor * factor <= *number).all(|factor| !number.is_multiple_of(factor))
    };
    (least..).find(is_prime).unwrap_or(LARGEST_TABLE)
}
