//! Calls and the lines that tell of them.

use super::*;

fn call(from: &str, remote: &str, outcome: Result<u16, String>) -> Call {
    Call {
        number: Some(1),
        from: from.into(),
        to: "somewhere".into(),
        request: "GET /".into(),
        local: Some("10.244.1.10:40000".parse().unwrap()),
        remote: Some(remote.parse().unwrap()),
        outcome,
        bytes: 0,
        microseconds: 900,
    }
}

fn line(direction: &str, source: &str, extra: &str) -> Line {
    let text = format!(
        r#"{{"scope":"access","message":"connection complete","direction":"{direction}","src.addr":"{source}","dst.addr":"10.244.2.12:15008"{extra}}}"#
    );
    Line::parse(&text).unwrap()
}

const TUNNEL: &str = r#","src.identity":"spiffe://cluster.local/ns/shop/sa/web","dst.identity":"spiffe://cluster.local/ns/shop/sa/cart","dst.workload":"cart","dst.hbone_addr":"10.244.2.12:8080""#;

#[test]
fn a_tunnel_is_told_by_both_sides() {
    let call = call("web", "10.96.0.12:80", Ok(200));
    let outbound = line("outbound", "10.244.1.10:40000", TUNNEL);
    let inbound = line("inbound", "10.244.1.10:51111", &format!(r#"{TUNNEL},"policy":"shop/cart-callers""#));
    let other = line("inbound", "10.244.1.10:51111", &TUNNEL.replace("sa/web", "sa/payments"));
    let mut lines = vec![other.clone(), outbound.clone()];
    assert_eq!(take(&call, &mut lines, true), None, "the server's side is awaited");
    assert_eq!(lines.len(), 2);
    lines.push(inbound);
    let row = take(&call, &mut lines, true).unwrap();
    assert!(row.is_encrypted() && row.is_answered() && row.is_allowed_by("/cart-callers"));
    assert_eq!((row.to.as_str(), lines), ("cart", vec![other]));
}

#[test]
fn a_hand_over_is_proved_and_not_encrypted() {
    let call = call("web", "10.96.0.12:80", Ok(200));
    let joined = format!(r#"{TUNNEL},"connection.path":"same-node""#);
    let mut lines =
        vec![line("outbound", "10.244.1.10:40000", &joined), line("inbound", "10.244.1.10:40000", &joined)];
    let row = take(&call, &mut lines, true).unwrap();
    assert!(row.is_mutual() && row.is_answered() && !row.is_encrypted());
    assert!(row.sentence().contains("not encrypted"), "{}", row.sentence());
    assert!(lines.is_empty());
}

#[test]
fn a_refusal_is_told_by_the_server() {
    let call = call("web", "10.96.0.12:80", Err("connection reset".into()));
    let error = r#","error":"connection closed due to policy rejection: denied by policy shop/x""#;
    let mut lines = vec![
        line("inbound", "10.244.1.10:51111", &format!("{TUNNEL}{error}")),
        line(
            "outbound",
            "10.244.1.10:40000",
            &format!(r#"{TUNNEL},"error":"http status: 401 Unauthorized""#),
        ),
    ];
    let row = take(&call, &mut lines, true).unwrap();
    assert!(row.is_mutual() && row.is_denied_by("/x") && !row.is_answered());
    assert!(lines.is_empty());
}

#[test]
fn a_tunnel_that_failed_has_no_server_side() {
    let call = call("web", "10.96.0.12:80", Err("connection reset".into()));
    let failed = format!(r#"{TUNNEL},"error":"no route""#);
    let mut lines = vec![line("outbound", "10.244.1.10:40000", &failed)];
    assert_eq!(take(&call, &mut lines, true), None, "the server may yet tell of it");
    let row = take(&call, &mut lines, false).unwrap();
    assert_eq!(row.verdict, Verdict::Failed { reason: "no route".into() });
}

#[test]
fn an_outsider_is_told_by_the_server_only() {
    let call = call("outsider", "10.244.2.13:8080", Ok(200));
    assert_eq!(take(&call, &mut vec![], true), None);
    let mut lines = vec![line("inbound", "10.244.1.10:40000", r#","dst.workload":"catalog""#)];
    let row = take(&call, &mut lines, true).unwrap();
    assert_eq!(
        (row.security.clone(), row.verdict.clone()),
        (Security::Plaintext, Verdict::Allowed { policy: None })
    );
    assert!(row.is_answered() && !row.is_mutual());
}

#[test]
fn nobody_asks_before_an_outsider() {
    let call = call("web", "10.96.0.14:80", Ok(200));
    let mut lines = vec![line("outbound", "10.244.1.10:40000", r#","dst.workload":"outsider""#)];
    let row = take(&call, &mut lines, true).unwrap();
    assert_eq!((row.to.as_str(), row.verdict.clone()), ("outsider", Verdict::NotAsked));
    assert!(row.is_answered());
}
