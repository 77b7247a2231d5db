//! The JSON format, as Istio's ztunnel writes it: `{"level","time","scope","message",fields...,spans...}` on one line.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape::JsonText;
use super::plain::{level_word, write_time};

pub(super) struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write!(out, "{{\"level\":\"{}\",\"time\":\"", level_word(*metadata.level()))?;
        write_time(&mut out)?;
        write!(out, "\",\"scope\":\"{}\"", metadata.target())?;
        let mut visitor = Visitor { out: out.by_ref(), result: Ok(()), first: false };
        event.record(&mut visitor);
        visitor.result?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                write!(out, ",\"{}\":{{{fields}}}", span.metadata().name())?;
            }
        }
        out.write_str("}\n")
    }
}

/// A span's fields: the inside of an object.
impl<'w> FormatFields<'w> for Json {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { out, result: Ok(()), first: true };
        fields.record(&mut visitor);
        visitor.result
    }

    fn add_fields(
        &self,
        current: &'w mut FormattedFields<Self>,
        fields: &tracing::span::Record<'_>,
    ) -> fmt::Result {
        let first = current.fields.is_empty();
        let mut visitor = Visitor { out: current.as_writer(), result: Ok(()), first };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'w> {
    out: Writer<'w>,
    result: fmt::Result,
    first: bool,
}

impl Visitor<'_> {
    fn write(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            let comma = if std::mem::replace(&mut self.first, false) { "" } else { "," };
            self.result =
                write!(self.out, "{comma}\"{}\":", field.name()).and_then(|()| value(&mut self.out));
        }
    }

    fn write_text(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.write(field, |out| {
            out.write_char('"')?;
            JsonText(&mut *out).write_fmt(value)?;
            out.write_char('"')
        });
    }
}

impl Visit for Visitor<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, |out| write!(out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        // JSON has no word for NaN and infinity.
        if value.is_finite() {
            self.write(field, |out| write!(out, "{value}"));
        } else {
            self.write_text(field, format_args!("{value}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.write_text(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write_text(field, format_args!("{value:?}"));
    }
}
