//! R14: when a client comes back.

use std::time::Duration;

use ambit_xds::{Kind, Store};
use tokio::time::sleep;

use crate::network::{Network, Peer, service};

fn pauses(network: &Network) -> Vec<Duration> {
    let attempts = network.attempts.lock().unwrap();
    attempts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Timers of tokio tick by the millisecond.
const TICK: Duration = Duration::from_millis(2);

fn within(pauses: &[Duration], first: Duration, last: Duration) {
    for (at, pause) in pauses.iter().enumerate() {
        let ceiling = first.saturating_mul(2u32.saturating_pow(u32::try_from(at).unwrap())).min(last);
        assert!(*pause <= ceiling + TICK, "pause {at} is {pause:?}, above {ceiling:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_with_jitter_and_stay_bounded() {
    let network = Network::default();
    let mut peer = Peer::start(&network, "node");
    sleep(Duration::from_secs(600)).await;
    let early = pauses(&network);
    within(&early, Duration::from_millis(10), Duration::from_secs(15));
    // Uniform below 15 s: about 80 attempts in ten minutes, never less than 40, and not a storm either.
    assert!((40..200).contains(&early.len()), "{} attempts", early.len());
    let late = &early[early.len() / 2..];
    assert!(
        late.iter().max() > late.iter().min().map(|least| *least * 2).as_ref(),
        "without jitter: {late:?}"
    );

    let store = Store::default();
    store.publish(Kind::Address, [service("h", "a")]);
    network.up(&store);
    peer.first_state().await;
    network.down();
    network.attempts.lock().unwrap().clear();
    sleep(Duration::from_secs(600)).await;
    let later = pauses(&network);
    within(&later, Duration::from_millis(1000), Duration::from_secs(30));
    assert!((20..100).contains(&later.len()), "{} attempts", later.len());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_do_not_come_back_as_one() {
    let network = Network::default();
    let store = Store::default();
    network.up(&store);
    let mut peers: Vec<Peer> = (0..1000).map(|at| Peer::start(&network, &at.to_string())).collect();
    for peer in &mut peers {
        peer.first_state().await;
    }
    network.attempts.lock().unwrap().clear();
    network.cut();
    for peer in &mut peers {
        peer.first_state().await;
    }
    let attempts = network.attempts.lock().unwrap();
    assert_eq!(attempts.len(), 1000);
    let first = *attempts.iter().min().unwrap();
    let mut buckets = [0; 6];
    for attempt in attempts.iter() {
        let at = usize::try_from((*attempt - first).as_millis() / 100).unwrap();
        buckets[at.min(5)] += 1;
    }
    assert!(buckets.iter().all(|count| *count < 300), "{buckets:?} per 100 ms");
}
