//! What became of one request, by the word of the proxies on its way? Pure: finds the log lines that belong to a call.

use serde::{Deserialize, Serialize};

use super::access::{Direction, Line};
use super::plan::Pod;
use crate::shop::words::Call;

/// A request, put together from what the client saw and what the proxies logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The calling pod.
    pub(crate) from: String,
    /// The pod that was called.
    pub(crate) to: String,
    /// `GET /items`.
    pub(crate) request: String,
    /// Whether it was made in order to answer another request.
    pub(crate) nested: bool,
    /// How it was carried.
    pub(crate) security: Security,
    /// Whether it was let in, by the word of the server's proxy.
    pub(crate) verdict: Verdict,
    /// The status that the client got, or why it got none.
    pub(crate) outcome: Result<u16, String>,
    /// From the client's first packet to the last byte of the answer.
    pub(crate) microseconds: u64,
}

/// How a connection was carried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Security {
    /// Through a tunnel; both ends proved who they are.
    MutualTls {
        /// SPIFFE ID of the client.
        client: String,
        /// SPIFFE ID of the server.
        server: String,
    },
    /// Given over inside the proxy of the one node that both pods are on; both proved who they are, nothing was
    /// encrypted.
    SameNode {
        /// SPIFFE ID of the client.
        client: String,
        /// SPIFFE ID of the server.
        server: String,
    },
    /// As it is; nobody proved anything.
    Plaintext,
}

/// Whether a connection was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Let in.
    Allowed {
        /// The policy that allowed it; none when no policy asks.
        policy: Option<String>,
    },
    /// Refused by policy.
    Denied {
        /// Which.
        policy: String,
    },
    /// It failed for another reason.
    Failed {
        /// Which.
        reason: String,
    },
    /// No proxy of ours stood before the server.
    NotAsked,
}

/// What the log says about `call`, once it says enough; its lines are taken out of `lines`.
///
/// The client's side tells of an enrolled caller's connection, found by the caller's port. The server's side tells of
/// the tunnel's inside, found by identity and address, or of a plaintext connection, again found by the caller's port.
/// When the client's side tells of a failure, the server may have heard of the connection or not: while `patient`, its
/// side is awaited.
pub(crate) fn take(call: &Call, lines: &mut Vec<Line>, patient: bool) -> Option<Row> {
    let local = call.local?;
    let enrolled = Pod::named(&call.from).is_some_and(Pod::is_enrolled);
    let at = |lines: &[Line], direction| {
        lines.iter().position(|line| line.direction == direction && line.source == local)
    };
    let outbound = at(lines, Direction::Outbound);
    if enrolled && outbound.is_none() {
        return None;
    }
    let out = outbound.and_then(|index| lines.get(index)).cloned();
    let inbound = match &out {
        Some(Line { inside: Some(inside), source_identity, .. }) => Some(lines.iter().position(|line| {
            line.direction == Direction::Inbound
                && line.inside.as_ref() == Some(inside)
                && line.source_identity == *source_identity
        })),
        Some(_) if server(&out, call).is_some_and(Pod::is_enrolled) => Some(at(lines, Direction::Inbound)),
        Some(_) => None,
        None => Some(at(lines, Direction::Inbound)),
    };
    let inbound = match inbound {
        Some(Some(index)) => lines.get(index).cloned(),
        Some(None) if !patient && out.as_ref().is_some_and(|out| out.error.is_some()) => None,
        Some(None) => return None,
        None => None,
    };
    lines.retain(|line| Some(line) != out.as_ref() && Some(line) != inbound.as_ref());
    let to = server(&inbound, call).or_else(|| server(&out, call)).map_or(call.to.as_str(), |pod| pod.name);
    Some(Row {
        from: call.from.clone(),
        to: to.to_owned(),
        request: request(call),
        nested: call.number.is_none(),
        security: security(out.as_ref(), inbound.as_ref()),
        verdict: verdict(out.as_ref(), inbound.as_ref()),
        outcome: call.outcome.clone(),
        microseconds: call.microseconds,
    })
}

/// A call that never became a connection, and that no proxy can tell of.
pub(crate) fn unconnected(call: &Call) -> Option<Row> {
    let (None, Err(reason)) = (call.local, &call.outcome) else { return None };
    Some(Row {
        from: call.from.clone(),
        to: call.to.clone(),
        request: request(call),
        nested: call.number.is_none(),
        security: Security::Plaintext,
        verdict: Verdict::Failed { reason: reason.clone() },
        outcome: call.outcome.clone(),
        microseconds: call.microseconds,
    })
}

fn request(call: &Call) -> String {
    match call.remote {
        Some(remote) if remote.is_ipv6() => format!("{}, IPv6", call.request),
        _ => call.request.clone(),
    }
}

fn server(line: &Option<Line>, call: &Call) -> Option<&'static Pod> {
    let logged = line.as_ref().and_then(|line| line.destination_workload.as_deref());
    logged.and_then(Pod::named).or_else(|| call.remote.and_then(|remote| Pod::at(remote.ip())))
}

/// By the server's word where there is one: it saw what arrived.
fn security(out: Option<&Line>, inbound: Option<&Line>) -> Security {
    match inbound.or(out) {
        Some(Line { source_identity: Some(client), destination_identity: Some(server), path, .. }) => {
            let (client, server) = (client.clone(), server.clone());
            match path.as_deref() {
                Some("same-node") => Security::SameNode { client, server },
                _ => Security::MutualTls { client, server },
            }
        }
        _ => Security::Plaintext,
    }
}

fn verdict(out: Option<&Line>, inbound: Option<&Line>) -> Verdict {
    let Some(line) = inbound else {
        return match out.and_then(|line| line.error.clone()) {
            Some(reason) => Verdict::Failed { reason },
            None => Verdict::NotAsked,
        };
    };
    match (line.refused_by(), &line.error) {
        (Some(policy), _) => Verdict::Denied { policy: policy.to_owned() },
        (None, Some(reason)) => Verdict::Failed { reason: reason.clone() },
        (None, None) => Verdict::Allowed { policy: line.policy.clone() },
    }
}

impl Row {
    /// Whether both ends proved to be the two pods.
    pub(crate) fn is_mutual(&self) -> bool {
        let identity = |name: &str| Pod::named(name).map(Pod::identity);
        matches!(&self.security, Security::MutualTls { client, server } | Security::SameNode { client, server }
            if Some(client) == identity(&self.from).as_ref() && Some(server) == identity(&self.to).as_ref())
    }

    /// Whether it went through a tunnel between the two pods' own identities.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.is_mutual() && matches!(self.security, Security::MutualTls { .. })
    }

    /// Whether it was let in and answered with success.
    pub(crate) fn is_answered(&self) -> bool {
        matches!(self.verdict, Verdict::Allowed { .. } | Verdict::NotAsked)
            && matches!(self.outcome, Ok(status) if (200..300).contains(&status))
    }

    /// Whether a policy of this name refused it, and the client got no answer.
    pub(crate) fn is_denied_by(&self, name: &str) -> bool {
        matches!(&self.verdict, Verdict::Denied { policy } if policy.ends_with(name)) && self.outcome.is_err()
    }

    /// Whether the policy of this name let it in, and it was answered with success.
    pub(crate) fn is_allowed_by(&self, name: &str) -> bool {
        self.is_answered()
            && matches!(&self.verdict, Verdict::Allowed { policy: Some(policy) } if policy.ends_with(name))
    }

    /// All of it in one line.
    pub(crate) fn sentence(&self) -> String {
        let security = match &self.security {
            Security::MutualTls { client, server } => format!("mutual TLS from {client} to {server}"),
            Security::SameNode { client, server } => {
                format!("within the node's proxy, not encrypted, from {client} to {server}")
            }
            Security::Plaintext => "plaintext".to_owned(),
        };
        let verdict = match &self.verdict {
            Verdict::Allowed { policy: Some(policy) } => format!("allowed by {policy}"),
            Verdict::Allowed { policy: None } => "allowed".to_owned(),
            Verdict::Denied { policy } => format!("denied by {policy}"),
            Verdict::Failed { reason } => format!("failed: {reason}"),
            Verdict::NotAsked => "not checked".to_owned(),
        };
        let outcome = match &self.outcome {
            Ok(status) => format!("status {status}"),
            Err(reason) => reason.clone(),
        };
        format!("{} -> {} {}: {security}, {verdict}, {outcome}", self.from, self.to, self.request)
    }
}

#[cfg(test)]
mod tests;
