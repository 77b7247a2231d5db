//! The store of certificates over weeks of paused time: half life, back-off, the old one until its end, never after.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use ambit_identity::certificates::{CertificateState, CertificatesSettings, FetchError, Hold};
use ambit_identity::source::IssueError;
use ambit_identity::{Authority, Certificate, CertificateSource, Certificates, Clock, Provider};
use ambit_model::Identity;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, advance, sleep, timeout};

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "shop", account).unwrap()
}

/// What the CA does with a request.
#[derive(Clone)]
enum Behaviour {
    Sign,
    /// Signs for somebody else.
    SignFor(Identity),
    /// Signs a request of its own.
    SignOtherKey,
    Refuse(IssueError),
    Hang,
}

/// A CA that follows the script, counts requests, and notes when they came.
struct Issuer {
    authority: Authority,
    clock: Clock,
    behaviour: Mutex<Behaviour>,
    /// Each answer takes one; refill to let them through.
    gate: Arc<Semaphore>,
    calls: Mutex<Vec<(Identity, Instant)>>,
    in_flight: Arc<AtomicUsize>,
    most_in_flight: Arc<AtomicUsize>,
}

impl Issuer {
    fn calls(&self) -> usize {
        self.calls.lock().len()
    }

    fn set(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    fn answer(
        &self,
        behaviour: Behaviour,
        identity: &Identity,
        csr: &str,
        lifetime: Duration,
    ) -> Option<Result<Vec<String>, IssueError>> {
        let now = self.clock.now();
        let sign =
            |csr: &str, identity: &Identity| Ok(self.authority.sign(csr, identity, lifetime, now).unwrap());
        match behaviour {
            Behaviour::Sign => Some(sign(csr, identity)),
            Behaviour::SignFor(other) => Some(sign(csr, &other)),
            Behaviour::SignOtherKey => {
                let key = ambit_identity::KeyPair::generate(Provider::default()).unwrap();
                Some(sign(&ambit_identity::csr::certificate_request(&key, identity).unwrap(), identity))
            }
            Behaviour::Refuse(error) => Some(Err(error)),
            Behaviour::Hang => None,
        }
    }
}

impl CertificateSource for Issuer {
    fn issue(
        &self,
        identity: &Identity,
        csr_pem: String,
        lifetime: Duration,
    ) -> BoxFuture<'static, Result<Vec<String>, IssueError>> {
        self.calls.lock().push((identity.clone(), Instant::now()));
        let answer = self.answer(self.behaviour.lock().clone(), identity, &csr_pem, lifetime);
        let (gate, now, most) = (self.gate.clone(), self.in_flight.clone(), self.most_in_flight.clone());
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let outcome = match answer {
                Some(answer) => {
                    gate.acquire().await.unwrap().forget();
                    answer
                }
                None => std::future::pending().await,
            };
            now.fetch_sub(1, Ordering::SeqCst);
            outcome
        })
    }
}

struct World {
    issuer: Arc<Issuer>,
    certificates: Certificates,
    clock: Clock,
}

/// A store whose wall clock follows tokio's paused one.
fn world() -> World {
    let (start, base) = (Instant::now(), SystemTime::now());
    world_with(Clock::new(move || base + start.elapsed()))
}

fn world_with(clock: Clock) -> World {
    let issuer = Arc::new(Issuer {
        authority: Authority::create(Provider::default(), "cluster.local", "Ambit", clock.now()).unwrap(),
        clock: clock.clone(),
        behaviour: Mutex::new(Behaviour::Sign),
        gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        calls: Mutex::default(),
        in_flight: Arc::default(),
        most_in_flight: Arc::default(),
    });
    let settings = CertificatesSettings { clock: clock.clone(), ..CertificatesSettings::default() };
    World { certificates: Certificates::new(issuer.clone(), settings), issuer, clock }
}

fn away() -> IssueError {
    IssueError { retryable: true, message: "the CA is away".to_owned() }
}

/// Waits, in paused time, until `condition` holds.
async fn until(limit: Duration, mut condition: impl FnMut() -> bool) {
    let waited = timeout(limit, async {
        while !condition() {
            sleep((limit / 1000).min(Duration::from_secs(20))).await;
        }
    });
    waited.await.expect("it did not happen in time");
}

async fn first(world: &World, account: &str) -> (Hold, Arc<Certificate>) {
    let hold = world.certificates.hold(&identity(account));
    let certificate = hold.certificate().await.unwrap();
    (hold, certificate)
}

#[tokio::test(start_paused = true)]
async fn the_first_certificate_is_waited_for_and_shared() {
    let world = world();
    let pods: Vec<_> = (0..20).map(|_| world.certificates.hold(&identity("web"))).collect();
    assert!(pods[0].current().is_none());
    assert_eq!(world.certificates.entries()[0].state, CertificateState::Initializing);
    let all = futures_util::future::join_all(pods.iter().map(Hold::certificate)).await;
    let serials: HashSet<_> = all.iter().map(|one| one.as_ref().unwrap().serial().to_owned()).collect();
    assert_eq!((serials.len(), world.issuer.calls()), (1, 1), "one request serves all pods of an identity");
    let current = world.certificates.current(&identity("web")).unwrap();
    assert!(Arc::ptr_eq(&current, &pods[7].current().unwrap()));
    assert_eq!(*current.identity(), identity("web"));
    let entry = world.certificates.entries().remove(0);
    assert_eq!((entry.holds, entry.state.to_string()), (20, "Available".to_owned()));
    assert!(world.certificates.current(&identity("cart")).is_none());
}

#[tokio::test(start_paused = true)]
async fn refreshed_at_half_life_with_spread_and_a_new_key() {
    let world = world();
    let (hold, mut last) = first(&world, "web").await;
    let mut ages = Vec::new();
    for round in 2..=30 {
        until(DAY, || world.issuer.calls() == round).await;
        until(MINUTE, || hold.current().unwrap().serial() != last.serial()).await;
        let now = hold.current().unwrap();
        assert_ne!(now.chain()[0].pem, last.chain()[0].pem);
        last = now;
    }
    let calls = world.issuer.calls.lock();
    for pair in calls.windows(2) {
        ages.push(pair[1].1.duration_since(pair[0].1).as_secs_f64() / DAY.as_secs_f64());
    }
    assert!(ages.iter().all(|age| (0.449..=0.552).contains(age)), "{ages:?}");
    let (least, most) = (ages.iter().copied().fold(1.0, f64::min), ages.iter().copied().fold(0.0, f64::max));
    assert!(most - least > 0.03, "no spread: {ages:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_from_half_a_second_to_150_seconds() {
    let world = world();
    world.issuer.set(Behaviour::Refuse(away()));
    let _hold = world.certificates.hold(&identity("web"));
    until(2 * DAY, || world.issuer.calls() == 16).await;
    let calls = world.issuer.calls.lock();
    let gaps: Vec<_> =
        calls.windows(2).map(|pair| pair[1].1.duration_since(pair[0].1).as_secs_f64()).collect();
    let nominal =
        [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 150.0, 150.0, 150.0, 150.0, 150.0, 150.0];
    for (gap, nominal) in gaps.iter().zip(nominal) {
        assert!((nominal * 0.79..=nominal * 1.21).contains(gap), "{gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_pods_learn_the_reason_at_once_and_the_certificate_when_it_comes() {
    let world = world();
    world.issuer.set(Behaviour::Refuse(away()));
    let hold = world.certificates.hold(&identity("web"));
    let error = hold.certificate().await.unwrap_err();
    assert_eq!(error.to_string(), format!("no certificate for {}: the CA is away", identity("web")));
    assert_eq!(hold.certificate().await.unwrap_err(), error);
    let entry = world.certificates.entries().remove(0);
    assert_eq!(entry.state.to_string(), format!("Unavailable: {error}"));
    assert!(entry.next_attempt.unwrap() > world.clock.now());
    world.issuer.set(Behaviour::Sign);
    until(MINUTE, || hold.current().is_some()).await;
    hold.certificate().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_old_certificate_serves_until_its_end_and_never_after() {
    let world = world();
    let (hold, old) = first(&world, "web").await;
    world.issuer.set(Behaviour::Refuse(away()));
    until(DAY, || world.issuer.calls() >= 3).await;
    let entry = world.certificates.entries().remove(0);
    let CertificateState::Available { refresh_error: Some(FetchError::Unavailable { reason, .. }) } =
        entry.state
    else {
        panic!("{:?}", entry.state)
    };
    assert_eq!(&*reason, "the CA is away");
    while world.clock.now() + Duration::from_secs(1) < old.not_after() {
        assert_eq!(hold.certificate().await.unwrap().serial(), old.serial());
        assert_eq!(world.certificates.current(&identity("web")).unwrap().serial(), old.serial());
        let left = old.not_after().duration_since(world.clock.now()).unwrap() - Duration::from_millis(500);
        sleep(left.min(Duration::from_secs(1800))).await;
    }
    until(MINUTE, || world.clock.now() >= old.not_after()).await;
    assert!(hold.current().is_none());
    assert!(world.certificates.current(&identity("web")).is_none());
    assert!(matches!(hold.certificate().await, Err(FetchError::Unavailable { .. })));
    assert!(matches!(world.certificates.entries()[0].state, CertificateState::Unavailable(_)));
    // The CA is back: so is the certificate, without anybody doing anything.
    world.issuer.set(Behaviour::Sign);
    until(4 * MINUTE, || hold.current().is_some()).await;
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_past_the_end_is_noticed_by_whoever_needs_a_certificate() {
    let jump = Arc::new(Mutex::new(Duration::ZERO));
    let (start, base, ahead) = (Instant::now(), SystemTime::now(), jump.clone());
    let clock = Clock::new(move || base + start.elapsed() + *ahead.lock());
    let world = world_with(clock);
    let (hold, old) = first(&world, "web").await;
    *jump.lock() = 2 * DAY;
    assert!(hold.current().is_none());
    let begun = Instant::now();
    let new = hold.certificate().await.unwrap();
    assert_ne!(new.serial(), old.serial());
    assert!(begun.elapsed() < Duration::from_secs(1), "it waited for the next look at the clock");
}

#[tokio::test(start_paused = true)]
async fn answers_for_somebody_else_are_never_used() {
    let world = world();
    let hold = world.certificates.hold(&identity("web"));
    for (behaviour, reason) in [
        (Behaviour::SignFor(identity("payments")), "but spiffe://cluster.local/ns/shop/sa/web was asked for"),
        (Behaviour::SignOtherKey, "another key"),
    ] {
        let before = world.issuer.calls();
        world.issuer.set(behaviour);
        until(10 * MINUTE, || world.issuer.calls() > before + 1).await;
        let error = hold.certificate().await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(hold.current().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_counts_as_a_failure() {
    let world = world();
    world.issuer.set(Behaviour::Hang);
    let begun = Instant::now();
    let error = world.certificates.certificate(&identity("web")).await.unwrap_err().to_string();
    assert!(error.contains("did not answer within 10s"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_is_asked_again_rarely() {
    let world = world();
    world.issuer.set(Behaviour::Refuse(IssueError { retryable: false, message: "bad request".to_owned() }));
    let _hold = world.certificates.hold(&identity("web"));
    until(MINUTE, || world.issuer.calls() == 1).await;
    sleep(Duration::from_secs(100)).await;
    assert_eq!(world.issuer.calls(), 1);
    until(2 * MINUTE, || world.issuer.calls() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_hold_forgets_the_identity_and_stops_its_requests() {
    let world = world();
    let (one, certificate) = first(&world, "web").await;
    let two = world.certificates.hold(&identity("web"));
    drop(one);
    assert_eq!(two.certificate().await.unwrap().serial(), certificate.serial());
    drop(two);
    assert!(world.certificates.entries().is_empty());
    assert!(world.certificates.current(&identity("web")).is_none());
    sleep(2 * DAY).await;
    assert_eq!(world.issuer.calls(), 1, "a forgotten identity was refreshed");
    // A new pod of that identity starts anew.
    let (_hold, new) = first(&world, "web").await;
    assert_ne!(new.serial(), certificate.serial());
}

#[tokio::test(start_paused = true)]
async fn at_most_eight_requests_at_a_time() {
    let world = world();
    world.issuer.gate.forget_permits(Semaphore::MAX_PERMITS);
    let holds: Vec<_> =
        (0..50).map(|number| world.certificates.hold(&identity(&format!("a{number}")))).collect();
    until(MINUTE, || world.issuer.calls() == 8).await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(world.issuer.calls(), 8);
    world.issuer.gate.add_permits(50);
    for hold in &holds {
        hold.certificate().await.unwrap();
    }
    assert_eq!(world.issuer.most_in_flight.load(Ordering::SeqCst), 8);
    let entries = world.certificates.entries();
    assert_eq!(entries.len(), 50);
    assert!(entries.is_sorted_by(|one, other| one.identity < other.identity));
}

#[test]
fn other_threads_with_runtimes_of_their_own_share_the_store() {
    let control = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (certificates, issuer) = control.block_on(async {
        let world = world();
        (world.certificates.clone(), world.issuer)
    });
    let keep = certificates.hold(&identity("web"));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let certificates = certificates.clone();
            std::thread::spawn(move || {
                // Not even a timer: nothing in it may depend on the worker's runtime.
                let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let hold = certificates.hold(&identity("web"));
                worker.block_on(hold.certificate()).unwrap().serial().to_owned()
            })
        })
        .collect();
    let serials: HashSet<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
    assert_eq!((serials.len(), issuer.calls()), (1, 1));
    // The control runtime ends: whoever still waits is told, nobody hangs.
    drop(keep);
    issuer.set(Behaviour::Hang);
    let hold = certificates.hold(&identity("cart"));
    let waiting = std::thread::spawn(move || {
        let worker = tokio::runtime::Builder::new_current_thread().build().unwrap();
        worker.block_on(hold.certificate()).unwrap_err()
    });
    control.shutdown_background();
    assert_eq!(waiting.join().unwrap(), FetchError::Stopped { identity: identity("cart") });
}
