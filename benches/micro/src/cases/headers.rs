//! What a CONNECT carries: baggage, forwarded, traceparent, authority.

use std::hint::black_box;

use ambit_hbone::{Authority, Baggage, Forwarded, TraceParent};
use anyhow::{Context, ensure};

use super::work;
use crate::Work;

/// Requests of one case.
const REQUESTS: usize = 1_000;

const AUTHORITY: &str = "10.0.0.17:8080";

fn baggage() -> Baggage {
    Baggage {
        cluster: "Kubernetes".into(),
        namespace: "shop".into(),
        workload: "checkout-7d4b9c".into(),
        service: "checkout".into(),
        version: "v3".into(),
        region: "eu-central-1".into(),
        zone: "eu-central-1a".into(),
        ..Baggage::default()
    }
}

fn forwarded() -> anyhow::Result<Forwarded> {
    Ok(Forwarded { client: "10.0.0.3:41234".parse()?, host: Some("cart.shop.svc.cluster.local".into()) })
}

pub(super) fn encode() -> anyhow::Result<Work> {
    let (baggage, forwarded, trace) = (baggage(), forwarded()?, TraceParent::random());
    work(move || {
        for _ in 0..REQUESTS {
            black_box(baggage.encode().context("baggage")?);
            black_box(forwarded.encode().context("forwarded")?);
            black_box(trace.encode().context("traceparent")?);
        }
        Ok(())
    })
}

pub(super) fn decode() -> anyhow::Result<Work> {
    let expected = baggage();
    let value = expected.encode().context("baggage")?;
    let host = forwarded()?.encode().context("forwarded")?;
    let trace = TraceParent::random().encode().context("traceparent")?;
    work(move || {
        for _ in 0..REQUESTS {
            ensure!(Baggage::decode([black_box(&value)]) == expected, "other baggage came out");
            black_box(Forwarded::host_of(black_box(&host)).context("forwarded")?);
            black_box(TraceParent::decode(black_box(&trace)).context("traceparent")?);
            black_box(black_box(AUTHORITY).parse::<Authority>().ok().context("authority")?);
        }
        Ok(())
    })
}
