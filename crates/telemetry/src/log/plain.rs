//! The plain format, as Istio's ztunnel writes it: `time<TAB>level<TAB>target:span{fields}<TAB>message<TAB>key=value ...`.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::escape::{OneLine, is_plain};

pub(super) struct Plain;

/// The time as both formats write it: RFC 3339 in UTC with microseconds.
pub(super) fn write_time(out: &mut impl Write) -> fmt::Result {
    write!(out, "{:.6}", jiff::Timestamp::now())
}

pub(super) fn level_word(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        tracing::Level::DEBUG => "debug",
        tracing::Level::TRACE => "trace",
    }
}

impl<S, N> FormatEvent<S, N> for Plain
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
        write_time(&mut out)?;
        write!(out, "\t{}\t{}", level_word(*metadata.level()), metadata.target())?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            write!(out, ":{}", span.metadata().name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(out, "{{{fields}}}")?;
            }
        }
        out.write_char('\t')?;
        context.format_fields(out.by_ref(), event)?;
        out.write_char('\n')
    }
}

impl<'w> FormatFields<'w> for Plain {
    fn format_fields<R: RecordFields>(&self, out: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { out, result: Ok(()), first: true };
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
    fn write(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        if self.result.is_ok() {
            self.result = self.try_write(field, value);
        }
    }

    fn try_write(&mut self, field: &Field, value: fmt::Arguments<'_>) -> fmt::Result {
        if field.name() == "message" {
            OneLine(&mut self.out).write_fmt(value)?;
            return self.out.write_char('\t');
        }
        self.name(field)?;
        OneLine(&mut self.out).write_fmt(value)
    }

    /// Everything up to the value.
    fn name(&mut self, field: &Field) -> fmt::Result {
        if !std::mem::replace(&mut self.first, false) {
            self.out.write_char(' ')?;
        }
        self.out.write_str(field.name())?;
        self.out.write_char('=')
    }

    /// A text that is shown as it is between quotes.
    fn quote(&mut self, field: &Field, text: &str) -> fmt::Result {
        self.name(field)?;
        self.out.write_char('"')?;
        self.out.write_str(text)?;
        self.out.write_char('"')
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.write(field, format_args!("{value}")),
            _ if is_plain(value) && !value.contains(['"', '\\']) => {
                if self.result.is_ok() {
                    self.result = self.quote(field, value);
                }
            }
            _ => self.write(field, format_args!("{value:?}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}
