//! May this request pass? Its token first, then what policies say.

use std::time::{SystemTime, UNIX_EPOCH};

use ambit_policy::Verdict;
use ambit_policy::request::Request;
use ambit_telemetry::requests::RequestFlags;
use http::StatusCode;
use http::header::WWW_AUTHENTICATE;

use crate::reply::Reply;
use crate::rules::ServiceRules;

/// Asks the rules of the request's service. A validated token stays with the request.
pub fn judge(rules: &ServiceRules, request: &mut Request) -> Result<(), Reply> {
    if !rules.policies.is_empty()
        && let Some((provider, policy)) = rules.policies.providers(request).first()
    {
        // Whom it would ask is not asked by this proxy: what nobody allowed does not pass.
        let details = format!("ext_authz_denied{{{}: provider {provider} is not asked}}", policy.policy);
        return Err(denied(RequestFlags::UNAUTHORIZED, details));
    }
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
            Err(denied(RequestFlags::NONE, format!("rbac_access_denied_matched_policy[{reason}]")))
        }
    }
}

fn denied(flags: RequestFlags, details: String) -> Reply {
    Reply::new(StatusCode::FORBIDDEN, flags, "RBAC: access denied", details)
}
