//! Telemetries.

use super::values::percent;
use crate::FieldPath;
use crate::check::Complaints;
use crate::check::gateway_api::header_name;
use crate::check::scope::{Scope, scope};
use crate::istio::{CustomTag, TelemetrySpec};

pub(in crate::check) fn check(spec: &TelemetrySpec, complaints: &mut Complaints<'_>) {
    let at = FieldPath::of("spec");
    let written = Scope {
        selector: spec.selector.as_ref(),
        target_refs: &spec.target_refs,
        target_ref: spec.target_ref.as_ref(),
    };
    scope(&written, &at, complaints);
    for (index, tracing) in spec.tracing.iter().enumerate() {
        let path = at.key("tracing").index(index);
        if tracing.providers.len() > 1 {
            complaints.add(&path.key("providers"), "spans go to one provider", "keep one");
        }
        if let Some(share) = tracing.random_sampling_percentage {
            complaints.expect(&path.key("randomSamplingPercentage"), percent(share));
        }
        for (name, tag) in &tracing.custom_tags {
            custom_tag(name, tag, &path.key("customTags").key(name), complaints);
        }
    }
    for (index, metrics) in spec.metrics.iter().enumerate() {
        for (number, one) in metrics.overrides.iter().enumerate() {
            let path = at.key("metrics").index(index).key("overrides").index(number);
            let selector = one.matches.clone().unwrap_or_default();
            if selector.metric.is_some() && selector.custom_metric.is_some() {
                complaints.add(
                    &path.key("match"),
                    "metric and customMetric exclude each other",
                    "keep one of them",
                );
            }
        }
    }
    for (index, log) in spec.access_logging.iter().enumerate() {
        if log.filter.as_ref().is_some_and(|filter| filter.expression.is_empty()) {
            let path = at.key("accessLogging").index(index).key("filter").key("expression");
            complaints.add(&path, "no expression", "write one, or remove the filter");
        }
    }
}

fn custom_tag(name: &str, tag: &CustomTag, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let set =
        [tag.literal.is_some(), tag.environment.is_some(), tag.header.is_some(), tag.formatter.is_some()];
    if name.is_empty() || set.into_iter().filter(|set| *set).count() != 1 {
        complaints.add(
            at,
            "a tag has a name and one source",
            "set one of literal, environment, header, formatter",
        );
    }
    if let Some(header) = &tag.header {
        complaints.expect(&at.key("header").key("name"), header_name(&header.name));
    }
    if tag.environment.as_ref().is_some_and(|source| source.name.is_empty()) {
        complaints.add(&at.key("environment").key("name"), "no name", "name a variable");
    }
}
