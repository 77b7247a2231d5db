//! Places and tokens, with the time moved by hand.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limit(burst: u32, fill: u32, per_client: bool) -> RateLimit {
    RateLimit { burst, fill, interval: SECOND, per_client }
}

#[test]
fn places_are_given_back() {
    let places = Places::new(Some(2));
    let first = places.take().unwrap();
    let _second = places.take().unwrap();
    assert!(places.take().is_none());
    drop(first);
    let _third = places.take().unwrap();
    assert_eq!(places.taken(), 2);
    let fewer = places.limited(Some(1));
    assert!(fewer.take().is_none() && fewer.taken() == 2);
    assert!(places.limited(None).take().is_some());
    assert!(Places::new(Some(0)).take().is_none());
}

#[test]
fn tokens_come_back_by_the_interval() {
    let start = Instant::now();
    let mut limiter = RateLimiter::new(&limit(3, 2, false), start);
    let mut take = |millis| limiter.take("a", start + Duration::from_millis(millis));
    assert_eq!([take(0), take(0), take(0)], [Ok(()); 3]);
    assert_eq!(take(400), Err(Duration::from_millis(600)));
    assert_eq!([take(1000), take(1500)], [Ok(()); 2]);
    assert_eq!(take(1500), Err(Duration::from_millis(500)), "half an interval has gone already");
    assert_eq!([take(60_000), take(60_000), take(60_000)], [Ok(()); 3], "no more than the burst");
    assert!(take(60_000).is_err());
}

#[test]
fn a_limit_without_tokens_lets_nobody_pass() {
    let start = Instant::now();
    assert!(RateLimiter::new(&limit(0, 5, false), start).take("a", start + SECOND * 9).is_err());
    let mut once = RateLimiter::new(&limit(1, 0, false), start);
    assert!(once.take("a", start).is_ok() && once.take("a", start + SECOND * 1000).is_err());
}

#[test]
fn clients_have_buckets_of_their_own_up_to_a_number() {
    let start = Instant::now();
    let mut limiter = RateLimiter::new(&limit(1, 1, true), start);
    assert!(limiter.take("a", start).is_ok() && limiter.take("b", start).is_ok());
    assert!(limiter.take("a", start).is_err());
    for client in 0..MOST_CLIENTS {
        let _ = limiter.take(&format!("{client}"), start);
    }
    assert_eq!(limiter.clients.len(), MOST_CLIENTS);
    assert!(limiter.take("x", start).is_err(), "those beyond share a bucket, which another has emptied");
    assert!(limiter.take("x", start + SECOND).is_ok());
    assert_eq!(limiter.clients.len(), 1, "who has not come for a while is forgotten");
}

proptest! {
    /// In any time, no more pass than the burst and what the intervals that were touched have brought.
    #[test]
    fn never_more_than_promised(burst in 0u32..10, fill in 0u32..10, gaps in prop::collection::vec(0u64..700, 1..100)) {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(&limit(burst, fill, false), start);
        let mut passed = 0u64;
        let mut now = 0;
        for gap in gaps {
            now += gap;
            passed += u64::from(limiter.take("", start + Duration::from_millis(now)).is_ok());
            prop_assert!(passed <= u64::from(burst) + now / 1000 * u64::from(fill));
        }
    }
}
