//! May a connection pass, with few policies and with many?

use std::hint::black_box;

use ambit_model::policy::{Action, Clause, Match, Policy, Rule, Scope, StringMatch};
use ambit_model::traffic::Connection;
use ambit_model::{Change, Identity};
use ambit_policy::{Verdict, authorize as decide};
use anyhow::{Context, ensure};

use super::{mesh, work};
use crate::Work;

/// Decisions of one case.
const DECISIONS: usize = 10;

/// So many ALLOW policies of the destination's namespace, of which the last lets the connection pass.
pub(super) fn authorize(policies: usize) -> anyhow::Result<Work> {
    let mut snapshot = mesh::snapshot(10)?;
    let allow = |number: usize| {
        let principal = format!("cluster.local/ns/shop/sa/client-{number}");
        let matches = Match {
            principals: vec![StringMatch::Exact(principal.as_str().into())],
            destination_ports: vec![8080],
            ..Match::default()
        };
        let rule = Rule { clauses: vec![Clause { matches: vec![matches] }], undecodable: None };
        Change::Policy(Box::new(Policy {
            // In the order of their numbers.
            key: format!("shop/allow-{number:06}").as_str().into(),
            namespace: "shop".into(),
            scope: Scope::WorkloadSelector,
            action: Action::Allow,
            rules: vec![rule],
            dry_run: false,
            unusable: None,
        }))
    };
    snapshot.apply((0..policies).map(allow));
    let mut destination =
        (**snapshot.local_workload("shop", "pod-0").context("pod-0 is on this node")?).clone();
    destination.policies =
        (0..policies).map(|number| format!("shop/allow-{number:06}").as_str().into()).collect();
    let connection = Connection {
        source_ip: mesh::pod(5)?,
        network: "".into(),
        source_identity: Some(Identity::new("cluster.local", "shop", &format!("client-{}", policies - 1))?),
        destination: (mesh::pod(0)?, 8080).into(),
    };
    work(move || {
        for _ in 0..DECISIONS {
            let decision = decide(&snapshot, &destination, black_box(&connection));
            ensure!(matches!(decision.verdict, Verdict::Allow { .. }), "{:?}", decision.verdict);
        }
        Ok(())
    })
}
