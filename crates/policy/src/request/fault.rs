//! Which faults happen to a request on purpose? (Istio HTTPFaultInjection)

use std::time::Duration;

use ambit_model::l7::Share;
use ambit_model::l7::route::{Abort, Fault};
use rand::{Rng, RngExt};

/// What happens to one request: first the delay, then the abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// It waits for this time.
    pub delay: Option<Duration>,
    /// It is answered so, and goes nowhere.
    pub abort: Option<Abort>,
}

/// Draws for delay and abort apart from each other.
pub fn inject(fault: &Fault, rng: &mut impl Rng) -> Injected {
    let mut delay = fault.delay;
    let mut abort = fault.abort;
    Injected {
        delay: delay.take_if(|(_, share)| draw(*share, rng)).map(|(delay, _)| delay),
        abort: abort.take_if(|(_, share)| draw(*share, rng)).map(|(abort, _)| abort),
    }
}

/// Whether this request falls into the share.
pub fn draw(share: Share, rng: &mut impl Rng) -> bool {
    share.holds(rng.random_range(0..share.denominator.max(1)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    const NONE: Share = Share { numerator: 0, denominator: 100 };

    #[test]
    fn shares_are_exact_at_both_ends_and_near_between() {
        let mut rng = StdRng::seed_from_u64(1);
        let of = |share, rng: &mut StdRng| (0..10_000).filter(|_| draw(share, rng)).count();
        assert_eq!(of(NONE, &mut rng), 0);
        assert_eq!(of(Share::ALL, &mut rng), 10_000);
        assert_eq!(of(Share { numerator: 1, denominator: 0 }, &mut rng), 10_000);
        let quarter = of(Share { numerator: 25, denominator: 100 }, &mut rng);
        assert!((2300..2700).contains(&quarter), "{quarter}");
    }

    #[test]
    fn delay_and_abort_are_drawn_apart() {
        let mut rng = StdRng::seed_from_u64(1);
        let second = Duration::from_secs(1);
        let fault =
            |delay, abort| Fault { delay: Some((second, delay)), abort: Some((Abort::Http(503), abort)) };
        let both = Injected { delay: Some(second), abort: Some(Abort::Http(503)) };
        assert_eq!(inject(&fault(Share::ALL, Share::ALL), &mut rng), both);
        assert_eq!(inject(&fault(NONE, Share::ALL), &mut rng), Injected { delay: None, ..both });
        assert_eq!(inject(&fault(Share::ALL, NONE), &mut rng), Injected { abort: None, ..both });
        assert_eq!(inject(&Fault::default(), &mut rng), Injected::default());
        let half = Share { numerator: 1, denominator: 2 };
        let drawn: std::collections::HashSet<(bool, bool)> = (0..100)
            .map(|_| inject(&fault(half, half), &mut rng))
            .map(|injected| (injected.delay.is_some(), injected.abort.is_some()))
            .collect();
        assert_eq!(drawn.len(), 4, "one does not follow from the other");
    }
}
