//! Timeouts, retries and session persistence of a rule.

use ambit_kubernetes::gateway_api::{
    CookieLifetime, RouteRetry, RouteTimeouts, SessionPersistence as Written, SessionType,
};
use ambit_model::l7::route::{Retry, RetryCondition, SessionKind, SessionPersistence, Timeouts};

/// Retries where a route wants some and does not say how many, as Istio's.
const ATTEMPTS: u32 = 2;
/// Name of a session's cookie where the route gives none.
const SESSION: &str = "ambit-session";

pub(super) fn timeouts(written: Option<&RouteTimeouts>) -> Timeouts {
    Timeouts {
        request: written.and_then(|limits| limits.request).map(|limit| limit.get()),
        backend_request: written.and_then(|limits| limits.backend_request).map(|limit| limit.get()),
    }
}

/// Failures to reach a backend are retried wherever retries are asked for (GEP-1731), codes where they are listed.
pub(super) fn retry(written: &RouteRetry) -> Retry {
    Retry {
        attempts: written.attempts.unwrap_or(ATTEMPTS),
        on: vec![RetryCondition::ConnectFailure, RetryCondition::Reset, RetryCondition::RefusedStream],
        codes: written.codes.clone(),
        backoff: written.backoff.map(|pause| pause.get()),
        avoid_previous: true,
    }
}

pub(super) fn session(written: &Written) -> SessionPersistence {
    let cookie = written.cookie.as_ref();
    let kind = match written.kind.unwrap_or(SessionType::Cookie) {
        SessionType::Cookie => SessionKind::Cookie,
        SessionType::Header => SessionKind::Header,
    };
    let own = match kind {
        SessionKind::Cookie => cookie.and_then(|cookie| cookie.name.as_deref()),
        SessionKind::Header => written.header.as_ref().map(|header| header.name.as_str()),
    };
    let name = own.or(written.session_name.as_deref()).unwrap_or(SESSION);
    SessionPersistence {
        kind,
        name: match kind {
            SessionKind::Cookie => name.into(),
            SessionKind::Header => name.to_ascii_lowercase().into(),
        },
        absolute_timeout: written.absolute_timeout.map(|limit| limit.get()),
        permanent: cookie.and_then(|cookie| cookie.lifetime_type) == Some(CookieLifetime::Permanent),
        path: cookie.and_then(|cookie| cookie.path.as_deref()).map(Into::into),
    }
}
