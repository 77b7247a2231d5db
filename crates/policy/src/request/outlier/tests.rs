//! Ejection and recovery, with the time moved by hand.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: 3,
        consecutive_gateway: 0,
        consecutive_local: None,
        interval: SECOND * 10,
        base_ejection: SECOND * 30,
        max_ejection_percent: 50,
        min_health_percent: 0,
    }
}

/// Reports outcomes of one of ten endpoints; what the last of them brought.
fn report(outliers: &mut Outliers, endpoint: &str, outcomes: &[Outcome], now: Instant) -> Option<Ejected> {
    let reports = outcomes.iter().map(|outcome| outliers.report(&endpoint.into(), *outcome, 10, now));
    reports.last().flatten()
}

const OK: Outcome = Outcome::Status(200);
const ERROR: Outcome = Outcome::Status(500);
const GATEWAY: Outcome = Outcome::Status(503);
const LOCAL: Outcome = Outcome::Local;

fn ejected(settings: OutlierDetection, outcomes: &[Outcome]) -> Option<Reason> {
    let mut outliers = Outliers::new(settings);
    report(&mut outliers, "a", outcomes, Instant::now()).map(|ejected| ejected.reason)
}

#[test]
fn failures_in_a_row_eject() {
    assert_eq!(ejected(settings(), &[ERROR, ERROR]), None);
    assert_eq!(ejected(settings(), &[ERROR, GATEWAY, LOCAL]), Some(Reason::ServerErrors(3)));
    assert_eq!(ejected(settings(), &[ERROR, ERROR, OK, ERROR]), None);
    assert_eq!(ejected(settings(), &[ERROR, ERROR, Outcome::Status(429), ERROR]), None);
    assert_eq!(ejected(OutlierDetection { consecutive_5xx: 0, ..settings() }, &[ERROR; 10]), None);
}

#[test]
fn gateway_errors_are_counted_for_themselves() {
    let gateway = OutlierDetection { consecutive_5xx: 0, consecutive_gateway: 2, ..settings() };
    assert_eq!(ejected(gateway, &[GATEWAY, GATEWAY]), Some(Reason::GatewayErrors(2)));
    assert_eq!(ejected(gateway, &[GATEWAY, LOCAL]), Some(Reason::GatewayErrors(2)));
    assert_eq!(ejected(gateway, &[GATEWAY, ERROR, GATEWAY]), None);
}

#[test]
fn local_failures_may_be_counted_apart() {
    let split = OutlierDetection { consecutive_local: Some(2), ..settings() };
    assert_eq!(ejected(split, &[LOCAL, LOCAL]), Some(Reason::LocalFailures(2)));
    assert_eq!(ejected(split, &[ERROR, LOCAL, ERROR, LOCAL]), None);
    assert_eq!(ejected(split, &[ERROR, LOCAL, ERROR, ERROR]), Some(Reason::ServerErrors(3)));
    assert_eq!(ejected(OutlierDetection { consecutive_local: Some(0), ..settings() }, &[LOCAL; 9]), None);
}

/// Out for the base time, then one probe; its failure means twice the time.
#[test]
fn one_probe_decides_about_the_return() {
    let mut outliers = Outliers::new(settings());
    let start = Instant::now();
    let first = report(&mut outliers, "a", &[ERROR; 3], start).unwrap();
    assert_eq!(first.time, SECOND * 30);
    assert!(!outliers.is_usable("a", start + SECOND * 29) && outliers.is_usable("b", start));
    assert_eq!(report(&mut outliers, "a", &[OK, ERROR], start + SECOND), None, "sent before, and late");

    let back = start + SECOND * 30;
    assert!(outliers.is_usable("a", back));
    outliers.begin("a", back);
    assert!(!outliers.is_usable("a", back), "one request, not all of them");
    let again = report(&mut outliers, "a", &[GATEWAY], back + SECOND).unwrap();
    assert_eq!(again, Ejected { time: SECOND * 60, reason: Reason::Probe });

    let back = back + SECOND * 61;
    outliers.begin("a", back);
    assert_eq!(report(&mut outliers, "a", &[OK], back), None);
    assert!(outliers.is_usable("a", back));
    assert_eq!(outliers.ejected(), 0);
    outliers.begin("a", back);
    assert!(outliers.is_usable("a", back), "who is back is not probed");
}

#[test]
fn a_lost_probe_is_not_waited_for_for_ever() {
    let mut outliers = Outliers::new(settings());
    let start = Instant::now();
    report(&mut outliers, "a", &[ERROR; 3], start);
    let back = start + SECOND * 30;
    outliers.begin("a", back);
    assert!(!outliers.is_usable("a", back + SECOND * 29) && outliers.is_usable("a", back + SECOND * 30));
}

#[test]
fn ejections_grow_to_a_limit_and_are_forgiven() {
    let mut outliers = Outliers::new(settings());
    let mut now = Instant::now();
    let mut times = vec![report(&mut outliers, "a", &[ERROR; 3], now).unwrap().time];
    for _ in 0..12 {
        now += *times.last().unwrap();
        outliers.begin("a", now);
        times.push(report(&mut outliers, "a", &[ERROR], now).unwrap().time);
    }
    let expected: Vec<_> = (1..=13).map(|time| (SECOND * 30 * time).min(SECOND * 300)).collect();
    assert_eq!(times, expected);
    now += SECOND * 300;
    outliers.begin("a", now);
    report(&mut outliers, "a", &[OK], now);
    // The interval in which it failed forgives nothing; twelve others do.
    for _ in 0..13 {
        outliers.sweep();
    }
    assert_eq!(report(&mut outliers, "a", &[ERROR; 3], now).unwrap().time, SECOND * 60);

    let long = OutlierDetection { base_ejection: SECOND * 1000, ..settings() };
    let time = report(&mut Outliers::new(long), "a", &[ERROR; 3], now).unwrap().time;
    assert_eq!(time, SECOND * 1000);
}

#[test]
fn a_sweep_forgets_who_is_well() {
    let mut outliers = Outliers::new(settings());
    let now = Instant::now();
    report(&mut outliers, "a", &[ERROR, OK], now);
    report(&mut outliers, "b", &[ERROR], now);
    report(&mut outliers, "c", &[OK], now);
    outliers.sweep();
    assert_eq!(outliers.records.keys().map(|key| &**key).collect::<Vec<_>>(), ["b"]);
    outliers.retain(|key| key != "b");
    assert!(outliers.records.is_empty());
}

#[test]
fn only_so_many_are_out() {
    let mut outliers = Outliers::new(OutlierDetection { max_ejection_percent: 10, ..settings() });
    let now = Instant::now();
    let eject = |outliers: &mut Outliers, name: &str, total| {
        (0..3).filter_map(|_| outliers.report(&name.into(), ERROR, total, now)).count()
    };
    assert_eq!(eject(&mut outliers, "a", 5), 1, "one at least, of few");
    assert_eq!(eject(&mut outliers, "b", 5), 0);
    assert_eq!(eject(&mut outliers, "b", 11), 1);
    let mut none = Outliers::new(OutlierDetection { max_ejection_percent: 0, ..settings() });
    assert_eq!(eject(&mut none, "a", 5), 0);
}

#[test]
fn with_too_few_left_ejections_are_not_obeyed() {
    let mut outliers =
        Outliers::new(OutlierDetection { min_health_percent: 50, max_ejection_percent: 100, ..settings() });
    let now = Instant::now();
    for (name, suspended) in [("a", false), ("b", false), ("c", true)] {
        for _ in 0..3 {
            outliers.report(&name.into(), ERROR, 4, now);
        }
        assert_eq!(outliers.is_suspended(4), suspended, "after {name}");
    }
    assert!(!Outliers::new(settings()).is_suspended(0));
}

#[test]
fn grpc_statuses_count_as_http() {
    for (grpc, http) in
        [(0, 200), (2, 500), (4, 504), (8, 429), (12, 501), (13, 500), (14, 503), (15, 500), (99, 500)]
    {
        assert_eq!(http_status(grpc), http, "{grpc}");
    }
}

proptest! {
    /// Whatever happens, no more are out than the share allows and one more.
    #[test]
    fn the_cap_holds(events in prop::collection::vec((0usize..8, 0u8..4, 0u64..40), 0..200), percent in 0u32..=100) {
        let mut outliers = Outliers::new(OutlierDetection { max_ejection_percent: percent, ..settings() });
        let mut now = Instant::now();
        for (endpoint, outcome, passed) in events {
            now += SECOND * u32::try_from(passed).unwrap();
            let key: Text = format!("{endpoint}").into();
            if outliers.is_usable(&key, now) {
                outliers.begin(&key, now);
            }
            let outcome = [OK, ERROR, GATEWAY, LOCAL][usize::from(outcome)];
            outliers.report(&key, outcome, 8, now);
            let most = (percent as usize * 8).div_ceil(100);
            prop_assert!(outliers.ejected() <= most);
        }
    }
}
