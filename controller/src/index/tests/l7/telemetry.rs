//! Telemetries, as waypoints are told.

use ambit_model::l7::telemetry::{AccessLog, MetricOverride, Tag, Tracing};
use ambit_model::l7::{Resource, Share, Target, Telemetry};
use ambit_model::service::ServiceKey;

use super::{istio, mesh};

fn telemetry(namespace: &str, spec: &str) -> (Option<Telemetry>, Vec<String>) {
    let index = mesh(
        &istio("telemetry", "Telemetry", "t", spec)
            .replace("namespace: shop", &format!("namespace: {namespace}")),
    );
    let found = index.l7().into_iter().find_map(|resource| match &**resource {
        Resource::Telemetry(telemetry) => Some(telemetry.clone()),
        _ => None,
    });
    (found, index.told())
}

#[test]
fn every_part_is_told() {
    let (found, notes) = telemetry(
        "shop",
        "tracing:\n- {providers: [{name: otel}], randomSamplingPercentage: 12.5, customTags: {a: {literal: {value: b}}, c: {header: {name: X-D, defaultValue: e}}, f: {environment: {name: G}}}}\n\
         - {match: {mode: SERVER}, disableSpanReporting: true}\n\
         accessLogging: [{providers: [{name: envoy}], filter: {expression: 'response.code >= 400'}}]\n\
         metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {source_app: {operation: REMOVE}}}, {disabled: true}]}]",
    );
    assert_eq!(notes, [""; 0]);
    let found = found.unwrap();
    let tracing = Tracing {
        providers: Some(vec!["otel".into()]),
        sampling: Some(Share { numerator: 125_000, denominator: 1_000_000 }),
        disabled: Some(true),
        tags: vec![
            ("a".into(), Tag::Literal("b".into())),
            ("c".into(), Tag::Header("x-d".into(), "e".into())),
            ("f".into(), Tag::Environment("G".into(), "".into())),
        ],
    };
    assert_eq!(found.tracing, Some(tracing));
    assert_eq!(found.access_log, Some(AccessLog { disabled: Some(false), minimum_status: Some(400) }));
    let counted = MetricOverride {
        metric: Some("REQUEST_COUNT".into()),
        disabled: None,
        remove: vec!["source_app".into()],
    };
    assert_eq!(
        found.metrics,
        [counted, MetricOverride { metric: None, disabled: Some(true), remove: vec![] }]
    );
}

#[test]
fn where_it_holds() {
    let log = "accessLogging: [{disabled: true}]";
    let cart = Target::Service(ServiceKey::new("shop", "cart.shop.svc.cluster.local"));
    for (namespace, spec, target) in [
        ("shop", log.to_owned(), Target::Namespace("shop".into())),
        ("istio-system", log.to_owned(), Target::Mesh),
        ("shop", format!("targetRefs: [{{kind: Service, name: cart}}]\n{log}"), cart),
    ] {
        assert_eq!(telemetry(namespace, &spec).0.unwrap().targets, [target], "{spec}");
    }
}

#[test]
fn what_is_not_done_is_told() {
    for (spec, note) in [
        ("selector: {matchLabels: {a: b}}", "spec.selector"),
        ("tracing: [{match: {mode: CLIENT}, disableSpanReporting: true}]", "spec.tracing[0].match.mode"),
        ("tracing: [{enableIstioTags: false}]", "spec.tracing[0].enableIstioTags"),
        ("tracing: [{customTags: {a: {formatter: {value: b}}}}]", "formatter"),
        ("accessLogging: [{providers: [{name: als}]}]", "spec.accessLogging[0].providers"),
        ("accessLogging: [{filter: {expression: 'has(x)'}}]", "spec.accessLogging[0].filter.expression"),
        (
            "metrics: [{overrides: [{tagOverrides: {a: {value: b}}}]}]",
            "spec.metrics[0].overrides[0].tagOverrides",
        ),
        ("metrics: [{overrides: [{match: {customMetric: a}, disabled: true}]}]", "customMetric"),
        ("metrics: [{reportingInterval: 5s}]", "spec.metrics[0].reportingInterval"),
    ] {
        let (_, notes) = telemetry("shop", spec);
        assert!(notes.len() == 1 && notes[0].contains(note), "{spec}: {notes:?}");
    }
}
