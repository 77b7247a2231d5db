//! Telemetry: spans, metrics and access logs of waypoints.
//!
//! Without targets it is for its namespace, in the root namespace for the whole mesh. A waypoint is on the side of who
//! answers (Istio).

use ambit_kubernetes::istio::{
    AccessLogging, CustomTag, IstioMetric, Metrics, MetricsOverride, ModeMatch, TagOperation,
    Telemetry as Written, Tracing as WrittenTracing, WorkloadMode,
};
use ambit_model::Text;
use ambit_model::l7::telemetry::{AccessLog, MetricOverride, Tag, Tracing};
use ambit_model::l7::{ObjectKind, Target, Telemetry};

use super::notes::Unheard;
use super::targets::targets;
use super::{Author, View, shares};

/// The providers that are always there: access logs on standard output, metrics for Prometheus.
const LOGS: &str = "envoy";
const METRICS: &str = "prometheus";

pub(super) fn telemetries(view: &View<'_>, notes: &mut Vec<String>) -> Vec<Telemetry> {
    view.objects.istio.telemetries.iter().filter_map(|written| telemetry(written, view, notes)).collect()
}

fn telemetry(written: &Written, view: &View<'_>, notes: &mut Vec<String>) -> Option<Telemetry> {
    let author = Author { kind: ObjectKind::Telemetry, metadata: &written.metadata };
    let spec = &written.spec;
    let mut unheard = Unheard::new(&author);
    if spec.selector.is_some() {
        unheard.note("spec.selector", "waypoints are not chosen by labels; use targetRefs");
        notes.append(&mut unheard.notes);
        return None;
    }
    let namespace = written.metadata.namespace.as_str();
    let targets = match spec.targets().next() {
        Some(_) => targets(spec.targets(), &author, view, notes),
        None if namespace == view.objects.mesh.root_namespace => vec![Target::Mesh],
        None => vec![Target::Namespace(namespace.into())],
    };
    let mut telemetry = Telemetry {
        key: author.key(),
        created: author.created(),
        targets,
        tracing: None,
        access_log: None,
        metrics: Vec::new(),
    };
    for (at, one) in spec.tracing.iter().enumerate() {
        tracing(one, &format!("spec.tracing[{at}]"), &mut telemetry.tracing, &mut unheard);
    }
    for (at, one) in spec.access_logging.iter().enumerate() {
        access_log(one, &format!("spec.accessLogging[{at}]"), &mut telemetry.access_log, &mut unheard);
    }
    for (at, one) in spec.metrics.iter().enumerate() {
        metrics(one, &format!("spec.metrics[{at}]"), &mut telemetry.metrics, &mut unheard);
    }
    notes.append(&mut unheard.notes);
    (!telemetry.targets.is_empty()).then_some(telemetry)
}

/// Whether something holds on a waypoint's side.
fn answers(matches: Option<ModeMatch>, field: &str, unheard: &mut Unheard<'_>) -> bool {
    let client = matches.is_some_and(|matches| matches.mode == WorkloadMode::Client);
    if client {
        unheard.note(&format!("{field}.match.mode"), "waypoints are on the side SERVER");
    }
    !client
}

/// What a later item says goes before what an earlier one does.
fn tracing(written: &WrittenTracing, field: &str, into: &mut Option<Tracing>, unheard: &mut Unheard<'_>) {
    if !answers(written.matches, field, unheard) {
        return;
    }
    for (name, set) in [
        ("useRequestIdForTraceSampling", written.use_request_id_for_trace_sampling == Some(false)),
        ("enableIstioTags", written.enable_istio_tags == Some(false)),
        ("disableContextPropagation", written.disable_context_propagation == Some(true)),
    ] {
        if set {
            unheard.note(&format!("{field}.{name}"), "it cannot be changed here");
        }
    }
    let tracing = into.get_or_insert_default();
    if !written.providers.is_empty() {
        let names = written.providers.iter();
        tracing.providers = Some(names.map(|provider| provider.name.as_str().into()).collect());
    }
    tracing.sampling = written.random_sampling_percentage.map(shares::percent).or(tracing.sampling);
    tracing.disabled = written.disable_span_reporting.or(tracing.disabled);
    for (name, tag) in &written.custom_tags {
        match self::tag(tag) {
            Some(value) => {
                tracing.tags.retain(|(known, _)| **known != **name);
                tracing.tags.push((name.as_str().into(), value));
            }
            None => unheard
                .note(&format!("{field}.customTags[{name:?}].formatter"), "Envoy's formatter is not here"),
        }
    }
}

fn tag(written: &CustomTag) -> Option<Tag> {
    let text = |text: &str| Text::from(text);
    let literal = written.literal.as_ref().map(|tag| Tag::Literal(text(&tag.value)));
    let header = written.header.as_ref();
    let header =
        header.map(|tag| Tag::Header(tag.name.to_ascii_lowercase().into(), text(&tag.default_value)));
    let environment = written.environment.as_ref();
    let environment = environment.map(|tag| Tag::Environment(text(&tag.name), text(&tag.default_value)));
    literal.or(header).or(environment)
}

fn access_log(written: &AccessLogging, field: &str, into: &mut Option<AccessLog>, unheard: &mut Unheard<'_>) {
    if !answers(written.matches, field, unheard) {
        return;
    }
    for provider in written.providers.iter().filter(|provider| provider.name != LOGS) {
        let why = format!("access logs go to standard output only, not to {:?}", provider.name);
        unheard.note(&format!("{field}.providers"), &why);
    }
    let log = into.get_or_insert_default();
    log.disabled = Some(written.disabled.unwrap_or(false));
    if let Some(filter) = &written.filter {
        match minimum_status(&filter.expression) {
            Some(status) => log.minimum_status = Some(status),
            None => unheard.note(
                &format!("{field}.filter.expression"),
                "only response.code >= STATUS is known here, so all requests are logged",
            ),
        }
    }
}

/// The status of `response.code >= STATUS`, in whatever spacing.
fn minimum_status(expression: &str) -> Option<u16> {
    let text: String = expression.chars().filter(|letter| !letter.is_whitespace()).collect();
    let status = text.strip_prefix("response.code>=").and_then(|status| status.parse().ok());
    let above = || text.strip_prefix("response.code>")?.parse::<u16>().ok()?.checked_add(1);
    status.or_else(above).filter(|status| (100..=600).contains(status))
}

fn metrics(written: &Metrics, field: &str, into: &mut Vec<MetricOverride>, unheard: &mut Unheard<'_>) {
    for provider in written.providers.iter().filter(|provider| provider.name != METRICS) {
        let why = format!("metrics are there for Prometheus to take, not for {:?}", provider.name);
        unheard.note(&format!("{field}.providers"), &why);
    }
    if written.reporting_interval.is_some() {
        unheard.note(&format!("{field}.reportingInterval"), "metrics are always those of the moment");
    }
    for (at, one) in written.overrides.iter().enumerate() {
        into.extend(metric_override(one, &format!("{field}.overrides[{at}]"), unheard));
    }
}

fn metric_override(
    written: &MetricsOverride,
    field: &str,
    unheard: &mut Unheard<'_>,
) -> Option<MetricOverride> {
    let selector = written.matches.clone().unwrap_or_default();
    if !answers(Some(ModeMatch { mode: selector.mode }), field, unheard) {
        return None;
    }
    if let Some(name) = &selector.custom_metric {
        unheard.note(&format!("{field}.match.customMetric"), &format!("there is no metric {name:?}"));
        return None;
    }
    let mut remove = Vec::new();
    for (tag, change) in &written.tag_overrides {
        match change.operation {
            TagOperation::Remove => remove.push(tag.as_str().into()),
            TagOperation::Upsert => unheard.note(
                &format!("{field}.tagOverrides[{tag:?}]"),
                "labels are left out but not changed here; use the operation REMOVE",
            ),
        }
    }
    let metric = selector.metric.and_then(name);
    (written.disabled.is_some() || !remove.is_empty()).then(|| MetricOverride {
        metric: metric.map(Into::into),
        disabled: written.disabled,
        remove,
    })
}

/// A metric's name in Istio's API; `None` for all.
fn name(metric: IstioMetric) -> Option<&'static str> {
    Some(match metric {
        IstioMetric::AllMetrics => return None,
        IstioMetric::RequestCount => "REQUEST_COUNT",
        IstioMetric::RequestDuration => "REQUEST_DURATION",
        IstioMetric::RequestSize => "REQUEST_SIZE",
        IstioMetric::ResponseSize => "RESPONSE_SIZE",
        IstioMetric::TcpOpenedConnections => "TCP_OPENED_CONNECTIONS",
        IstioMetric::TcpClosedConnections => "TCP_CLOSED_CONNECTIONS",
        IstioMetric::TcpSentBytes => "TCP_SENT_BYTES",
        IstioMetric::TcpReceivedBytes => "TCP_RECEIVED_BYTES",
        IstioMetric::GrpcRequestMessages => "GRPC_REQUEST_MESSAGES",
        IstioMetric::GrpcResponseMessages => "GRPC_RESPONSE_MESSAGES",
    })
}

#[cfg(test)]
mod tests {
    use super::minimum_status;

    #[test]
    fn the_one_expression_that_is_known() {
        for (expression, status) in [
            ("response.code >= 400", Some(400)),
            ("response.code>499", Some(500)),
            ("response.code == 200", None),
            ("has(x)", None),
            ("response.code >= 400 || true", None),
        ] {
            assert_eq!(minimum_status(expression), status, "{expression}");
        }
    }
}
