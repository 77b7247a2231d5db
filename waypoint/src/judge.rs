//! May this request pass? What external services say first, then its token, then what policies say.

use std::time::{SystemTime, UNIX_EPOCH};

use ambit_policy::Verdict;
use ambit_policy::request::Request;
use ambit_telemetry::requests::RequestFlags;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use crate::ask::{Allowed, ask};
use crate::network::Network;
use crate::replay::Replay;
use crate::reply::Reply;
use crate::rules::ServiceRules;
use crate::session::Session;

/// Asks external services, then the rules of the request's service. A validated token stays with the request.
///
/// # Errors
/// It may not pass: what the client is told.
pub async fn judge<N: Network>(
    session: &Session<N>,
    rules: &ServiceRules,
    request: &mut Request,
    body: &Replay,
) -> Result<Allowed, Reply> {
    let mut allowed = Allowed::default();
    if !rules.policies.is_empty() {
        let providers = rules.policies.providers(request);
        if !providers.is_empty() {
            allowed = ask(session, providers, request, body).await?;
        }
    }
    by_rules(rules, request).map(|()| allowed)
}

fn by_rules(rules: &ServiceRules, request: &mut Request) -> Result<(), Reply> {
    if !rules.authenticator.is_empty() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        rules.authenticator.authenticate(request, now).map_err(|rejected| {
            let challenge = rejected.challenge(request);
            let details = format!("jwt_authn_access_denied{{{rejected}}}");
            let text = rejected.to_string();
            let mut reply = Reply::new(StatusCode::UNAUTHORIZED, RequestFlags::NONE, text, details);
            reply.headers.push((WWW_AUTHENTICATE, challenge));
            reply
        })?;
    }
    if rules.policies.is_empty() {
        return Ok(());
    }
    let judgement = rules.policies.judge(request);
    for matched in &judgement.audited {
        tracing::info!(target: "access", client = %request.client.ip, path = request.path(), "audited by {matched}");
    }
    for dry_run in &judgement.dry_run {
        tracing::info!(target: "access", client = %request.client.ip, path = request.path(), "{dry_run}");
    }
    match judgement.verdict {
        Verdict::Allow { .. } => Ok(()),
        Verdict::Deny { reason } => {
            let details = format!("rbac_access_denied_matched_policy[{reason}]");
            Err(Reply::new(StatusCode::FORBIDDEN, RequestFlags::NONE, "RBAC: access denied", details))
        }
    }
}
