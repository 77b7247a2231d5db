//! Which endpoints are near enough? (Istio LocalityLoadBalancerSetting, Envoy's priorities)
//!
//! Endpoints are put into tiers by how near they are; a nearer tier takes the requests as long as enough of it is healthy,
//! and gives what it cannot take to the next. Where the rule says by weight which places get how much instead, there are
//! shares and no tiers.

use ambit_model::Text;
use ambit_model::l7::destination_rule::Locality as Setting;
use ambit_model::workload::Locality;
use rand::{Rng, RngExt};

/// How much more than its part a tier may take, in percent (Envoy's overprovisioning factor): 72 of 100 endpoints are as
/// good as all of them.
const OVERPROVISIONING: u64 = 140;

/// A place and its labels, of the client or of an endpoint.
#[derive(Debug, Clone, Copy)]
pub struct Position<'a> {
    /// Region, zone and subzone.
    pub locality: &'a Locality,
    /// Labels of the workload, and of its node as far as they are known.
    pub labels: &'a [(Text, Text)],
}

/// The tier of an endpoint, 0 for the nearest.
///
/// By labels, where the rule names some: each that endpoint and client have in common, counted from the first until
/// one differs, is a tier nearer (`key=value` asks for the value instead of the client's). Otherwise by subzone, zone
/// and region, and behind them the region that the rule lets take over.
pub fn tier(setting: &Setting, client: Position<'_>, endpoint: Position<'_>) -> usize {
    if !setting.enabled {
        return 0;
    }
    if !setting.failover_priority.is_empty() {
        let same = setting.failover_priority.iter().take_while(|label| is_common(label, client, endpoint));
        return setting.failover_priority.len() - same.count();
    }
    let (own, other) = (client.locality, endpoint.locality);
    let levels = [(&own.region, &other.region), (&own.zone, &other.zone), (&own.subzone, &other.subzone)];
    let same = levels.iter().take_while(|(own, other)| own == other).count();
    let takes_over = setting.failover.iter().any(|(from, to)| *from == own.region && *to == other.region);
    match same {
        0 if takes_over || setting.failover.is_empty() => 3,
        0 => 4,
        same => 3 - same,
    }
}

fn is_common(label: &str, client: Position<'_>, endpoint: Position<'_>) -> bool {
    let value = |place: Position<'_>, key: &str| {
        place.labels.iter().find(|(own, _)| **own == *key).map(|(_, value)| value.clone())
    };
    match label.split_once('=') {
        Some((key, wanted)) => value(endpoint, key).as_deref() == Some(wanted),
        None => value(client, label) == value(endpoint, label),
    }
}

/// The shares of places for a client, where the rule has some for it: places (`region/zone/subzone`, `*` allowed) and
/// their weights. The first entry that covers the client counts. Endpoints elsewhere get nothing.
pub fn shares<'s>(setting: &'s Setting, client: &Locality) -> Option<&'s [(Text, u32)]> {
    let entry = setting.distribute.iter().filter(|_| setting.enabled).find(|(from, _)| covers(from, client));
    entry.map(|(_, to)| &to[..])
}

/// Whether a place as a rule writes it (`region/zone/subzone`, shorter or with `*` for all below) has an endpoint.
pub fn covers(place: &str, locality: &Locality) -> bool {
    let mut levels = [&locality.region, &locality.zone, &locality.subzone].into_iter();
    for part in place.split('/') {
        match (part, levels.next()) {
            ("*", _) => return true,
            (part, Some(level)) if *part == **level => {}
            _ => return false,
        }
    }
    true
}

/// The tier that takes a request, of tiers that have so many healthy endpoints of so many in all, nearest first. `None`
/// where nobody is healthy anywhere.
pub fn choose_tier(tiers: &[(usize, usize)], rng: &mut impl Rng) -> Option<usize> {
    let able = |(healthy, total): (usize, usize)| match total {
        0 => 0,
        total => (healthy as u64 * OVERPROVISIONING / total as u64).min(100),
    };
    let all: u64 = tiers.iter().map(|tier| able(*tier)).sum();
    // Where all together cannot take everything, each takes its part.
    let whole = all.min(100);
    if whole == 0 {
        return tiers.iter().position(|(healthy, _)| *healthy > 0);
    }
    let mut drawn = rng.random_range(0..whole);
    for (at, tier) in tiers.iter().enumerate() {
        match drawn.checked_sub(able(*tier)) {
            Some(rest) => drawn = rest,
            None => return Some(at),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn locality(text: &str) -> Locality {
        let mut parts = text.split('/').map(Text::from);
        let mut next = || parts.next().unwrap_or_else(|| "".into());
        Locality { region: next(), zone: next(), subzone: next() }
    }

    fn tier_of(setting: &Setting, client: &str, endpoint: &str) -> usize {
        let (client, endpoint) = (locality(client), locality(endpoint));
        tier(
            setting,
            Position { locality: &client, labels: &[] },
            Position { locality: &endpoint, labels: &[] },
        )
    }

    #[test]
    fn the_nearer_the_place_the_lower_the_tier() {
        let near = Setting { enabled: true, ..Setting::default() };
        let east = Setting { failover: vec![("eu".into(), "us".into())], ..near.clone() };
        for (endpoint, plain, failover) in
            [("eu/a/1", 0, 0), ("eu/a/2", 1, 1), ("eu/b/1", 2, 2), ("us/a/1", 3, 3), ("ap/a/1", 3, 4)]
        {
            assert_eq!(tier_of(&near, "eu/a/1", endpoint), plain, "{endpoint}");
            assert_eq!(tier_of(&east, "eu/a/1", endpoint), failover, "{endpoint}");
            assert_eq!(tier_of(&Setting { enabled: false, ..near.clone() }, "eu/a/1", endpoint), 0);
        }
    }

    #[test]
    fn labels_count_from_the_first() {
        let setting = Setting {
            failover_priority: vec!["zone".into(), "version=v2".into(), "rack".into()],
            enabled: true,
            ..Setting::default()
        };
        let none = locality("");
        let labels = |list: &[(&str, &str)]| -> Vec<(Text, Text)> {
            list.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let client = labels(&[("zone", "a"), ("version", "v1"), ("rack", "7")]);
        for (endpoint, expected) in [
            (&[("zone", "a"), ("version", "v2"), ("rack", "7")][..], 0),
            (&[("zone", "a"), ("version", "v2")], 1),
            (&[("zone", "a"), ("version", "v1"), ("rack", "7")], 2),
            (&[("version", "v2"), ("rack", "7")], 3),
        ] {
            let endpoint = labels(endpoint);
            let place = |labels| Position { locality: &none, labels };
            assert_eq!(tier(&setting, place(&client), place(&endpoint)), expected, "{endpoint:?}");
        }
    }

    #[test]
    fn shares_by_place() {
        let to: Vec<(Text, u32)> = vec![("eu/a/*".into(), 80), ("us".into(), 20)];
        let setting =
            Setting { distribute: vec![("eu/a/*".into(), to.clone())], enabled: true, ..Setting::default() };
        assert_eq!(shares(&setting, &locality("eu/a/1")), Some(&to[..]));
        assert_eq!(shares(&setting, &locality("eu/b/1")), None);
        assert_eq!(shares(&Setting { enabled: false, ..setting }, &locality("eu/a/1")), None);
        for (place, at, expected) in [
            ("*", "eu/a/1", true),
            ("eu", "eu/a/1", true),
            ("eu/*", "eu/a/1", true),
            ("eu/a/1", "eu/a/1", true),
            ("eu/a/2", "eu/a/1", false),
            ("e", "eu/a/1", false),
            ("eu/a/1/x", "eu/a/1", false),
        ] {
            assert_eq!(covers(place, &locality(at)), expected, "{place} {at}");
        }
    }

    fn drawn(tiers: &[(usize, usize)]) -> Vec<usize> {
        let mut rng = StdRng::seed_from_u64(2);
        let mut counts = vec![0; tiers.len()];
        for _ in 0..10_000 {
            if let Some(at) = choose_tier(tiers, &mut rng) {
                counts[at] += 1;
            }
        }
        counts
    }

    #[test]
    fn a_tier_gives_up_what_it_cannot_take() {
        assert_eq!(drawn(&[(10, 10), (10, 10)]), [10_000, 0]);
        assert_eq!(drawn(&[(8, 10), (10, 10)]), [10_000, 0], "most of it is enough");
        let half = drawn(&[(5, 10), (10, 10)]);
        assert!((6800..7200).contains(&half[0]), "70 percent: {half:?}");
        assert_eq!(drawn(&[(0, 10), (1, 10)]), [0, 10_000]);
        assert_eq!(drawn(&[(0, 0), (1, 1)]), [0, 10_000]);
        let weak = drawn(&[(1, 10), (1, 10)]);
        assert!((4700..5300).contains(&weak[0]), "each its part: {weak:?}");
        assert_eq!(drawn(&[(0, 10), (1, 1000)]), [0, 10_000], "one of a thousand is somebody");
        assert_eq!(choose_tier(&[(0, 10), (0, 0)], &mut StdRng::seed_from_u64(1)), None);
        assert_eq!(choose_tier(&[], &mut StdRng::seed_from_u64(1)), None);
    }

    proptest! {
        /// Somebody healthy takes the request if there is anybody.
        #[test]
        fn no_request_goes_to_the_dead(tiers in prop::collection::vec((0usize..200, 0usize..200), 0..6), seed in any::<u64>()) {
            let tiers: Vec<_> = tiers.into_iter().map(|(one, more)| (one, one + more)).collect();
            let chosen = choose_tier(&tiers, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(chosen.is_some(), tiers.iter().any(|(healthy, _)| *healthy > 0));
            prop_assert!(chosen.is_none_or(|at| tiers[at].0 > 0));
        }
    }
}
