//! What ties a request to an endpoint: a hash of it (Istio ConsistentHashLB), or the session that its client remembers
//! (Gateway API SessionPersistence).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ambit_model::Text;
use ambit_model::l7::destination_rule::{Algorithm, TrafficPolicy};
use ambit_policy::request::balance::{HashInput, hash_input, stable_hash};
use ambit_policy::request::{CompiledRule, Request, Session};
use http::HeaderMap;
use http::header::{HeaderValue, SET_COOKIE};
use rand::{Rng, RngExt};

/// Of one request.
#[derive(Debug, Default)]
pub struct Affinity {
    /// What a consistent hash goes by.
    pub hash: Option<u64>,
    /// The session that the request belongs to.
    pub session: Option<Session>,
    /// What the client is given, so that the hash is the same the next time.
    cookie: Option<HeaderValue>,
}

impl Affinity {
    /// By what the destination's rules and the route's rule say.
    pub fn of(
        request: &Request,
        policy: &TrafficPolicy,
        rule: Option<&CompiledRule>,
        rng: &mut impl Rng,
    ) -> Self {
        let mut affinity = Self::default();
        if let Some(Algorithm::Hash { of, .. }) = policy.load_balancer.as_ref().map(|each| &each.algorithm) {
            match hash_input(of, request) {
                HashInput::Hash(hash) => affinity.hash = Some(hash),
                HashInput::New(cookie) => {
                    let value = format!("{:032x}", rng.random::<u128>());
                    affinity.hash = Some(stable_hash(value.as_bytes()));
                    affinity.cookie = cookie.with_value(&value);
                }
                HashInput::Nothing => {}
            }
        }
        affinity.session = session(request, rule);
        affinity
    }

    /// Tells the client what it shall bring the next time.
    pub fn decorate(&self, rule: Option<&CompiledRule>, endpoint: &Text, response: &mut HeaderMap) {
        if let Some(cookie) = &self.cookie {
            response.append(SET_COOKIE, cookie.clone());
        }
        let Some(persistence) = rule.and_then(|rule| rule.rule().session.as_ref()) else { return };
        let now = wall_clock();
        // Its endpoint may be gone: then the session goes on at another.
        let began = self.session.as_ref().map_or(now.as_secs(), |session| session.began);
        let session = Session { endpoint: endpoint.to_string(), began };
        session.remember(persistence, self.session.as_ref(), now, response);
    }
}

/// The session that a request belongs to, where its rule keeps some.
pub fn session(request: &Request, rule: Option<&CompiledRule>) -> Option<Session> {
    Session::of(rule?.rule().session.as_ref()?, request, wall_clock())
}

fn wall_clock() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
