//! Which endpoints are left out for a while because they fail? (Istio OutlierDetection, Envoy's consecutive counts)
//!
//! An endpoint that fails so many times in a row is ejected for the base time, times how often that has happened to it;
//! every interval without failure takes one time back. When its time is over it gets one request as a probe: a success
//! brings it back, a failure ejects it again. (Envoy lets all requests in at once.)
//!
//! Ejections stop at the largest share that may be out. Where fewer endpoints are healthy than the rule demands, they are
//! suspended: any endpoint is better than too few.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use ambit_model::Text;
use ambit_model::l7::destination_rule::OutlierDetection;

/// The longest ejection, unless the base is longer (Envoy `max_ejection_time`).
const LONGEST: Duration = Duration::from_secs(300);

/// What a request to an endpoint came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A response with this status; of gRPC, that of [`http_status`].
    Status(u16),
    /// No connection, no response, or none in time.
    Local,
}

/// The HTTP status that Envoy counts for a gRPC status.
pub fn http_status(grpc: u16) -> u16 {
    match grpc {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// Why an endpoint was ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// So many 5xx in a row.
    ServerErrors(u32),
    /// So many 502, 503 or 504 in a row.
    GatewayErrors(u32),
    /// So many failures without a response in a row.
    LocalFailures(u32),
    /// The request that probed it failed.
    Probe,
}

/// An endpoint has been ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejected {
    /// For how long.
    pub time: Duration,
    /// Why.
    pub reason: Reason,
}

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    server_errors: u32,
    gateway_errors: u32,
    local_failures: u32,
    /// How often it has been ejected, less the intervals since.
    times: u32,
    /// Whether it failed since the last sweep.
    failed: bool,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    In,
    Out(Instant),
    /// A probe is under way since then.
    Probing(Instant),
}

/// The endpoints of one service that have failed of late.
#[derive(Debug)]
pub struct Outliers {
    settings: OutlierDetection,
    records: HashMap<Text, Record>,
}

impl Outliers {
    /// Nobody has failed yet.
    pub fn new(settings: OutlierDetection) -> Self {
        Self { settings, records: HashMap::new() }
    }

    /// Obeys other settings from now on.
    pub fn configure(&mut self, settings: OutlierDetection) {
        self.settings = settings;
    }

    /// Whether an endpoint may get a request. Of one whose time is over this is true until [`Outliers::begin`].
    pub fn is_usable(&self, endpoint: &str, now: Instant) -> bool {
        match self.records.get(endpoint).map(|record| record.phase) {
            None | Some(Phase::In) => true,
            Some(Phase::Out(until)) => now >= until,
            // A probe of which nothing was heard for so long is lost.
            Some(Phase::Probing(since)) => now >= since + self.settings.base_ejection,
        }
    }

    /// An endpoint is sent a request: its probe, if its time is over.
    pub fn begin(&mut self, endpoint: &str, now: Instant) {
        if self.is_usable(endpoint, now)
            && let Some(record) = self.records.get_mut(endpoint)
            && record.phase != Phase::In
        {
            record.phase = Phase::Probing(now);
        }
    }

    /// A request to an endpoint has ended. `total` is how many endpoints the service has.
    pub fn report(
        &mut self,
        endpoint: &Text,
        outcome: Outcome,
        total: usize,
        now: Instant,
    ) -> Option<Ejected> {
        let failed = match outcome {
            Outcome::Status(status) => status >= 500,
            Outcome::Local => true,
        };
        if !failed && !self.records.contains_key(endpoint) {
            return None;
        }
        let out = self.ejected();
        let settings = self.settings;
        let record = self.records.entry(endpoint.clone()).or_default();
        match record.phase {
            // It was sent before the endpoint was ejected.
            Phase::Out(_) => None,
            Phase::Probing(_) if failed => Some(record.eject(&settings, Reason::Probe, now)),
            Phase::Probing(_) => {
                record.phase = Phase::In;
                record.forget_counts();
                None
            }
            Phase::In => {
                let reason = record.count(&settings, outcome)?;
                record.forget_counts();
                let room = (out as u128) * 100 < u128::from(settings.max_ejection_percent) * (total as u128);
                room.then(|| record.eject(&settings, reason, now))
            }
        }
    }

    /// How many endpoints are out or being probed.
    pub fn ejected(&self) -> usize {
        self.records.values().filter(|record| record.phase != Phase::In).count()
    }

    /// Whether any endpoint has failed of late: where none has, a success need not be reported.
    pub fn is_watching(&self) -> bool {
        !self.records.is_empty()
    }

    /// Whether ejections are not obeyed, because fewer of `total` endpoints are left than the rule demands.
    pub fn is_suspended(&self, total: usize) -> bool {
        let left = total.saturating_sub(self.ejected()) as u128;
        left * 100 < u128::from(self.settings.min_health_percent) * (total as u128)
    }

    /// To be called once every interval: endpoints without failures are forgiven one ejection, and forgotten once there
    /// is nothing left to forgive.
    pub fn sweep(&mut self) {
        self.records.retain(|_, record| {
            if record.phase == Phase::In && !std::mem::take(&mut record.failed) {
                record.times = record.times.saturating_sub(1);
            }
            let counted = record.server_errors + record.gateway_errors + record.local_failures > 0;
            record.phase != Phase::In || record.times > 0 || counted
        });
    }

    /// How often [`Outliers::sweep`] is called.
    pub fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// Forgets endpoints that the service no longer has.
    pub fn retain(&mut self, is_endpoint: impl Fn(&str) -> bool) {
        self.records.retain(|key, _| is_endpoint(key));
    }
}

impl Record {
    /// Counts an outcome; the first count that is full.
    fn count(&mut self, settings: &OutlierDetection, outcome: Outcome) -> Option<Reason> {
        let (server, gateway, local) = match (outcome, settings.consecutive_local) {
            // Counted apart, a failure without a response says nothing about responses.
            (Outcome::Local, Some(_)) => (None, None, true),
            (Outcome::Local, None) => (Some(true), Some(true), false),
            (Outcome::Status(status), _) => {
                (Some((500..600).contains(&status)), Some((502..=504).contains(&status)), false)
            }
        };
        let step = |count: &mut u32, failed: Option<bool>| match failed {
            Some(true) => *count = count.saturating_add(1),
            Some(false) => *count = 0,
            None => {}
        };
        step(&mut self.server_errors, server);
        step(&mut self.gateway_errors, gateway);
        step(&mut self.local_failures, Some(local));
        self.failed |= local || server == Some(true);
        let full = |count: u32, limit: u32| limit > 0 && count >= limit;
        if full(self.gateway_errors, settings.consecutive_gateway) {
            Some(Reason::GatewayErrors(self.gateway_errors))
        } else if full(self.server_errors, settings.consecutive_5xx) {
            Some(Reason::ServerErrors(self.server_errors))
        } else if full(self.local_failures, settings.consecutive_local.unwrap_or(0)) {
            Some(Reason::LocalFailures(self.local_failures))
        } else {
            None
        }
    }

    fn eject(&mut self, settings: &OutlierDetection, reason: Reason, now: Instant) -> Ejected {
        self.times = self.times.saturating_add(1);
        let longest = settings.base_ejection.max(LONGEST);
        let time = settings.base_ejection.saturating_mul(self.times).min(longest);
        self.phase = Phase::Out(now + time);
        self.failed = true;
        self.forget_counts();
        Ejected { time, reason }
    }

    fn forget_counts(&mut self) {
        (self.server_errors, self.gateway_errors, self.local_failures) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests;
