//! Which endpoints of a destination are left out for a while? The state behind `ambit_policy`'s outlier detection, which
//! costs nothing while nobody fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ambit_model::Text;
use ambit_model::l7::destination_rule::OutlierDetection;
use ambit_policy::request::outlier::{Outcome, Outliers};
use parking_lot::Mutex;

/// Sweeps that are made up for at most, where nothing was reported for a long time.
const MOST_SWEEPS: u32 = 100;

/// Says of an endpoint's key whether it may be used.
pub(super) type Usable<'u> = &'u dyn Fn(&str) -> bool;

/// Who has failed of late.
#[derive(Debug, Default)]
pub struct Health {
    /// Whether a rule asks for it.
    on: AtomicBool,
    /// Whether there is an endpoint of which something is known.
    watching: AtomicBool,
    state: Mutex<Option<State>>,
}

#[derive(Debug)]
struct State {
    outliers: Outliers,
    settings: OutlierDetection,
    swept: Instant,
}

impl Health {
    /// Obeys these settings from now on; without any, everybody is forgiven.
    pub(super) fn configure(&self, settings: Option<OutlierDetection>, now: Instant) {
        let mut state = self.state.lock();
        match (&mut *state, settings) {
            (_, None) => *state = None,
            (Some(state), Some(settings)) if state.settings == settings => {}
            (Some(state), Some(settings)) => {
                state.settings = settings;
                state.outliers.configure(settings);
            }
            (none, Some(settings)) => {
                *none = Some(State { outliers: Outliers::new(settings), settings, swept: now });
            }
        }
        self.on.store(state.is_some(), Ordering::Relaxed);
        let watching = state.as_ref().is_some_and(|state| state.outliers.is_watching());
        self.watching.store(watching, Ordering::Relaxed);
    }

    /// Asks about endpoints, of `total`. `with` gets what says whether one may be used; `None` where all may be.
    pub(super) fn ask<T>(&self, total: usize, now: Instant, with: impl FnOnce(Option<Usable<'_>>) -> T) -> T {
        if !self.watching.load(Ordering::Relaxed) {
            return with(None);
        }
        let state = self.state.lock();
        match &*state {
            Some(state) if !state.outliers.is_suspended(total) => {
                with(Some(&|key| state.outliers.is_usable(key, now)))
            }
            _ => with(None),
        }
    }

    /// An endpoint is sent a request.
    pub(super) fn begin(&self, key: &str, now: Instant) {
        if self.watching.load(Ordering::Relaxed)
            && let Some(state) = &mut *self.state.lock()
        {
            state.outliers.begin(key, now);
        }
    }

    /// A request to an endpoint has come to this. `total` is how many endpoints the destination has.
    pub fn report(&self, key: &Text, outcome: Outcome, total: usize, now: Instant) {
        let failed = !matches!(outcome, Outcome::Status(status) if status < 500);
        let concerns = if failed { &self.on } else { &self.watching };
        if !concerns.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        let Some(state) = &mut *state else { return };
        state.sweep(now);
        if let Some(ejected) = state.outliers.report(key, outcome, total, now) {
            tracing::info!(endpoint = %key, time = ?ejected.time, reason = ?ejected.reason, "an endpoint fails and is left out");
        }
        self.watching.store(state.outliers.is_watching(), Ordering::Relaxed);
    }

    /// How many endpoints are left out.
    pub fn ejected(&self) -> usize {
        self.state.lock().as_ref().map_or(0, |state| state.outliers.ejected())
    }

    /// Forgets endpoints that are gone.
    pub(super) fn retain(&self, is_endpoint: impl Fn(&str) -> bool) {
        if let Some(state) = &mut *self.state.lock() {
            state.outliers.retain(is_endpoint);
        }
    }
}

impl State {
    /// Makes up for the sweeps whose time has come: there is no clock of its own that ticks.
    fn sweep(&mut self, now: Instant) {
        let interval = self.outliers.interval().max(std::time::Duration::from_millis(1));
        let passed = now.saturating_duration_since(self.swept).as_nanos() / interval.as_nanos();
        let sweeps = u32::try_from(passed).unwrap_or(u32::MAX);
        for _ in 0..sweeps.min(MOST_SWEEPS) {
            self.outliers.sweep();
        }
        self.swept += interval.saturating_mul(sweeps);
    }
}
