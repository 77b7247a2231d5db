//! What does a line of ztunnel's access log say?

use std::net::SocketAddr;

use serde::Deserialize;

/// One connection, as one proxy saw it. The names in the log are Istio's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Line {
    /// The client's end.
    #[serde(rename = "src.addr")]
    pub(crate) source: SocketAddr,
    /// The client's pod, when it is known.
    #[serde(rename = "src.workload")]
    pub(crate) source_workload: Option<String>,
    /// What the client's certificate says; only of mutual TLS.
    #[serde(rename = "src.identity")]
    pub(crate) source_identity: Option<String>,
    /// The address that was dialled.
    #[serde(rename = "dst.addr")]
    pub(crate) destination: SocketAddr,
    /// The address inside the tunnel.
    #[serde(rename = "dst.hbone_addr")]
    pub(crate) inside: Option<String>,
    /// The server's pod, when it is known.
    #[serde(rename = "dst.workload")]
    pub(crate) destination_workload: Option<String>,
    /// What the server's certificate has to say; only of mutual TLS.
    #[serde(rename = "dst.identity")]
    pub(crate) destination_identity: Option<String>,
    /// Which side logged it.
    pub(crate) direction: Direction,
    /// Why it ended badly.
    pub(crate) error: Option<String>,
    /// The policy that allowed it.
    pub(crate) policy: Option<String>,
    /// `same-node` when the two pods were joined inside one proxy, without encryption.
    #[serde(rename = "connection.path")]
    pub(crate) path: Option<String>,
    scope: String,
}

/// Which side of the connection logged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// The client's.
    Outbound,
    /// The server's, which decides.
    Inbound,
}

impl Line {
    /// A line about a connection that has ended; nothing when the line is about something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        // Most lines of a log that is read for this are such lines, but not all.
        let line: Self = serde_json::from_str(text).ok()?;
        (line.scope == "access" && !text.contains("\"message\":\"connection opened\"")).then_some(line)
    }

    /// The policies that refused it, when policies did.
    pub(crate) fn refused_by(&self) -> Option<&str> {
        let reason = self.error.as_deref()?.split_once("policy rejection: ")?.1;
        let named = ["denied by policy ", "none allowed: "];
        Some(named.iter().find_map(|words| reason.split_once(words)).map_or(reason, |(_, names)| names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = r#"{"level":"error","time":"2026-01-01T00:00:00.000000Z","scope":"access","src.addr":"10.244.1.10:40000","src.workload":"web","src.namespace":"shop","src.identity":"spiffe://cluster.local/ns/shop/sa/web","dst.addr":"10.244.1.11:15008","dst.hbone_addr":"10.244.1.11:8080","dst.workload":"payments","dst.namespace":"shop","dst.identity":"spiffe://cluster.local/ns/shop/sa/payments","direction":"inbound","bytes_sent":0,"bytes_recv":0,"duration":"0ms","error":"connection closed due to policy rejection: allow policies exist, but none allowed: shop/payments-callers","message":"connection complete"}"#;

    #[test]
    fn a_refusal_names_its_policy() {
        let line = Line::parse(DENIED).unwrap();
        assert_eq!(line.direction, Direction::Inbound);
        assert_eq!(line.source_workload.as_deref(), Some("web"));
        assert_eq!(line.inside.as_deref(), Some("10.244.1.11:8080"));
        assert_eq!(line.refused_by(), Some("shop/payments-callers"));
        let explicit = DENIED.replace(
            "allow policies exist, but none allowed: shop/payments-callers",
            "denied by policy shop/x",
        );
        assert_eq!(Line::parse(&explicit).unwrap().refused_by(), Some("shop/x"));
        let other = DENIED.replace("connection closed due to policy rejection: ", "");
        assert_eq!(Line::parse(&other).unwrap().refused_by(), None);
    }

    #[test]
    fn other_lines_are_none() {
        for text in ["", "starting", "{}", r#"{"level":"info","scope":"app","message":"ready"}"#] {
            assert_eq!(Line::parse(text), None);
        }
        assert_eq!(Line::parse(&DENIED.replace("connection complete", "connection opened")), None);
    }
}
