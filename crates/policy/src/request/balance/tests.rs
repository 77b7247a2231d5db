//! Shares, loads, hashes and warm-up, by numbers that are drawn from a seed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_model::l7::destination_rule::{Algorithm, HashKey, HashRing, LoadBalancer, Warmup};
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Balancer, Endpoint, HashInput, Load, hash_input, stable_hash};
use crate::request::sample::get;

fn endpoints(weights: &[u32], since: Instant) -> Vec<Endpoint> {
    let load = || Arc::new(Load::new(since));
    let numbered = weights.iter().enumerate();
    numbered
        .map(|(at, weight)| Endpoint { key: format!("10.0.0.{at}:80").into(), weight: *weight, load: load() })
        .collect()
}

fn balancer(algorithm: Algorithm, weights: &[u32], warmup: Option<Warmup>) -> (Balancer, Instant) {
    let now = Instant::now();
    let settings = LoadBalancer { algorithm, warmup, locality: None };
    (Balancer::new(&settings, endpoints(weights, now), 0), now)
}

fn ring() -> Algorithm {
    Algorithm::Hash { of: HashKey::SourceIp, ring: HashRing::Ring(1024) }
}

fn maglev() -> Algorithm {
    Algorithm::Hash { of: HashKey::SourceIp, ring: HashRing::Maglev(65_537) }
}

fn all() -> [Algorithm; 6] {
    [Algorithm::LeastRequest, Algorithm::RoundRobin, Algorithm::Random, Algorithm::PeakEwma, ring(), maglev()]
}

/// How often each endpoint is chosen in `times`, with another hash each time.
fn shares(balancer: &Balancer, now: Instant, times: u64, usable: impl Fn(usize) -> bool) -> Vec<u64> {
    let mut rng = StdRng::seed_from_u64(11);
    let mut counts = vec![0; balancer.endpoints().len()];
    for time in 0..times {
        let hash = stable_hash(&time.to_be_bytes());
        counts[balancer.choose(Some(hash), &usable, now, &mut rng).unwrap()] += 1;
    }
    counts
}

#[test]
fn every_rule_gives_by_weight_and_only_to_who_may() {
    for algorithm in all() {
        let (balancer, now) = balancer(algorithm.clone(), &[1, 2, 0, 1], None);
        let counts = shares(&balancer, now, 10_000, |_| true);
        for (count, weight) in counts.iter().zip([1, 2, 1, 1]) {
            assert!((weight * 1600..weight * 2400).contains(count), "{algorithm:?} {counts:?}");
        }
        let counts = shares(&balancer, now, 1000, |at| at == 2);
        assert_eq!(counts, [0, 0, 1000, 0], "{algorithm:?}");
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(balancer.choose(Some(1), |_| false, now, &mut rng), None, "{algorithm:?}");
    }
}

#[test]
fn without_endpoints_there_is_no_choice() {
    for algorithm in all() {
        let (balancer, now) = balancer(algorithm.clone(), &[], None);
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(balancer.choose(Some(1), |_| true, now, &mut rng), None, "{algorithm:?}");
        assert_eq!(balancer.choose(None, |_| true, now, &mut rng), None, "{algorithm:?}");
    }
}

#[test]
fn a_round_spreads_the_heavy_ones() {
    let (balancer, now) = balancer(Algorithm::RoundRobin, &[2, 1, 1], None);
    let mut rng = StdRng::seed_from_u64(1);
    let round: Vec<_> = (0..8).filter_map(|_| balancer.choose(None, |_| true, now, &mut rng)).collect();
    assert_eq!(round[..4], round[4..]);
    assert!(round[..4].windows(2).all(|pair| pair != [0, 0]), "{round:?}");
}

#[test]
fn the_less_loaded_of_two_is_chosen() {
    let (balancer, now) = balancer(Algorithm::LeastRequest, &[1, 1], None);
    let busy: Vec<_> = (0..3).map(|_| balancer.endpoints()[0].load.begin()).collect();
    assert_eq!(balancer.endpoints()[0].load.active(), 3);
    assert_eq!(shares(&balancer, now, 100, |_| true), [0, 100]);
    drop(busy);
    assert_eq!(balancer.endpoints()[0].load.active(), 0);
    // Twice the weight carries twice the load.
    let (balancer, now) = self::balancer(Algorithm::LeastRequest, &[1, 2], None);
    let _busy: Vec<_> = [0, 0, 1, 1, 1].map(|at| balancer.endpoints()[at].load.begin()).into();
    assert_eq!(shares(&balancer, now, 100, |_| true), [0, 100]);
}

#[test]
fn slow_and_failing_endpoints_get_less_until_time_has_passed() {
    let (balancer, now) = balancer(Algorithm::PeakEwma, &[1, 1], None);
    let load = |at: usize| &balancer.endpoints()[at].load;
    load(0).observe(Duration::from_millis(50), false, now);
    load(1).observe(Duration::from_millis(5), false, now);
    assert_eq!(shares(&balancer, now, 100, |_| true), [0, 100]);
    let _busy: Vec<_> = (0..10).map(|_| load(1).begin()).collect();
    assert_eq!(shares(&balancer, now, 100, |_| true), [100, 0], "ten requests of 5 ms wait longer");
    load(0).observe(Duration::from_millis(1), true, now);
    assert_eq!(shares(&balancer, now, 100, |_| true), [0, 100], "to fail fast does not look good");
    let later = now + Duration::from_secs(60);
    load(1).observe(Duration::from_millis(5), false, later);
    assert_eq!(shares(&balancer, later, 100, |_| true), [100, 0], "what failed long ago is tried again");
}

#[test]
fn peaks_count_at_once_and_fade_by_and_by() {
    let now = Instant::now();
    let load = Load::new(now);
    assert_eq!(load.score(now), None);
    load.observe(Duration::from_millis(10), false, now);
    load.observe(Duration::from_millis(100), false, now);
    assert_eq!(load.score(now), Some(1e8));
    let later = now + Duration::from_secs(10);
    load.observe(Duration::from_millis(10), false, later);
    let score = load.score(later).unwrap();
    assert!((4.2e7..4.4e7).contains(&score), "a third of 100 ms, two thirds of 10: {score}");
}

#[test]
fn new_endpoints_warm_up() {
    let warmup = Warmup { duration: Duration::from_secs(100), minimum: 10.0, aggression: 1.0 };
    for algorithm in [Algorithm::LeastRequest, Algorithm::RoundRobin, Algorithm::Random, Algorithm::PeakEwma]
    {
        let now = Instant::now();
        let later = now + Duration::from_secs(1000);
        let mut list = endpoints(&[1, 1], now);
        list[1].load = Arc::new(Load::new(later));
        let settings = LoadBalancer { algorithm: algorithm.clone(), warmup: Some(warmup), locality: None };
        let balancer = Balancer::new(&settings, list, 0);
        let share_at = |seconds| shares(&balancer, later + Duration::from_secs(seconds), 10_000, |_| true)[1];
        let shares = [share_at(0), share_at(50), share_at(100)];
        assert!(
            shares[0] < 1500 && shares[0] < shares[1] && shares[1] < shares[2],
            "{algorithm:?} {shares:?}"
        );
        assert!((4500..5500).contains(&shares[2]), "{algorithm:?} {shares:?}");
        let mut rng = StdRng::seed_from_u64(1);
        assert_eq!(
            balancer.choose(None, |at| at == 1, later, &mut rng),
            Some(1),
            "where there is no other, it is used"
        );
    }
}

/// A hash means one endpoint, whatever the order of the list; when one goes, only its own hashes move.
#[test]
fn hashes_stay_where_they_are() {
    for algorithm in [ring(), maglev()] {
        let now = Instant::now();
        let settings = LoadBalancer { algorithm: algorithm.clone(), warmup: None, locality: None };
        let five = endpoints(&[1; 5], now);
        let four: Vec<Endpoint> =
            five.iter().rev().filter(|each| &*each.key != "10.0.0.2:80").cloned().collect();
        let (five, four) = (Balancer::new(&settings, five, 0), Balancer::new(&settings, four, 0));
        let mut rng = StdRng::seed_from_u64(5);
        let mut moved = 0;
        for time in 0..2000u64 {
            let hash = stable_hash(&time.to_le_bytes());
            let key = |balancer: &Balancer, rng: &mut StdRng, usable: &dyn Fn(usize) -> bool| {
                balancer.endpoints()[balancer.choose(Some(hash), usable, now, rng).unwrap()].key.clone()
            };
            let (before, after) = (key(&five, &mut rng, &|_| true), key(&four, &mut rng, &|_| true));
            assert_eq!(before, key(&five, &mut rng, &|_| true), "{algorithm:?}");
            moved += u32::from(before != after && &*before != "10.0.0.2:80");
            // One that may not be used is passed over, and the others keep theirs.
            let around = key(&five, &mut rng, &|at| at != 2);
            assert!(&*around != "10.0.0.2:80" && (around == before || &*before == "10.0.0.2:80"));
        }
        let most = if matches!(algorithm, Algorithm::Hash { ring: HashRing::Ring(_), .. }) { 0 } else { 40 };
        assert!(moved <= most, "{algorithm:?}: {moved} of 2000 moved");
    }
}

#[test]
fn what_is_hashed() {
    let request = get("/?user=bob", &[("x-user", "bob"), ("cookie", "id=bob")]);
    let cookie = |ttl| HashKey::Cookie {
        name: "id".into(),
        path: "/a".into(),
        ttl,
        attributes: vec![("SameSite".into(), "Strict".into()), ("Secure".into(), "".into())],
    };
    let bob = HashInput::Hash(stable_hash(b"bob"));
    assert_eq!(hash_input(&HashKey::Header("x-user".into()), &request), bob);
    assert_eq!(hash_input(&HashKey::Query("user".into()), &request), bob);
    assert_eq!(hash_input(&cookie(None), &request), bob);
    assert_eq!(hash_input(&HashKey::SourceIp, &request), HashInput::Hash(stable_hash(&[10, 0, 0, 1])));
    let bare = get("/", &[]);
    for key in [HashKey::Header("x-user".into()), HashKey::Query("user".into()), cookie(None)] {
        assert_eq!(hash_input(&key, &bare), HashInput::Nothing, "{key:?}");
    }
    let made = |ttl| match hash_input(&cookie(Some(ttl)), &bare) {
        HashInput::New(cookie) => cookie.with_value("abc").unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(made(Duration::from_secs(9)), "id=abc; Max-Age=9; Path=/a; HttpOnly; SameSite=Strict; Secure");
    assert_eq!(made(Duration::ZERO), "id=abc; Path=/a; HttpOnly; SameSite=Strict; Secure");
}

/// The hash is a promise to sessions across versions.
#[test]
fn the_hash_never_changes() {
    assert_eq!(stable_hash(b""), 0xf52a_15e9_a9b5_e89b);
    assert_eq!(stable_hash(b"10.0.0.1"), stable_hash(b"10.0.0.1"));
}

proptest! {
    /// Whatever the weights and whoever may be used: someone is chosen if and only if there is someone.
    #[test]
    fn there_is_a_choice_where_there_is_one(weights in prop::collection::vec(0u32..1000, 0..12), mask in any::<u16>(), hash in any::<u64>()) {
        for algorithm in [Algorithm::LeastRequest, Algorithm::RoundRobin, Algorithm::Random, ring(), Algorithm::Hash { of: HashKey::SourceIp, ring: HashRing::Maglev(251) }] {
            let (balancer, now) = balancer(algorithm, &weights, None);
            let usable = |at: usize| mask & (1 << at) != 0;
            let chosen = balancer.choose(Some(hash), usable, now, &mut StdRng::seed_from_u64(hash));
            let any = (0..weights.len()).any(usable);
            prop_assert!(chosen.is_some() == any && chosen.is_none_or(usable));
        }
    }

    #[test]
    fn a_round_gives_each_its_weight(weights in prop::collection::vec(1u64..40, 1..8)) {
        let mut counts: HashMap<u32, u64> = HashMap::new();
        for at in super::table::schedule(&weights) {
            *counts.entry(at).or_default() += 1;
        }
        for (at, weight) in (0..).zip(&weights) {
            prop_assert_eq!(counts[&at] * weights[0], weight * counts[&0]);
        }
    }
}
