//! Spans, as OpenTelemetry's collectors take them.

use std::time::{SystemTime, UNIX_EPOCH};

use ambit_proto::opentelemetry::collector::ExportTraceServiceRequest;
use ambit_proto::opentelemetry::common::{AnyValue, InstrumentationScope, KeyValue, Resource, any_value};
use ambit_proto::opentelemetry::trace;
use bytes::Bytes;
use prost::Message;

use crate::grpc::frame;

/// Path of the call that takes them.
pub const PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A part of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace.
    pub trace: [u8; 16],
    /// This part.
    pub id: [u8; 8],
    /// The part that it is in.
    pub parent: Option<[u8; 8]>,
    /// What others wrote about the trace (`tracestate`).
    pub state: String,
    /// What was done.
    pub name: String,
    /// When it began.
    pub begin: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Tags.
    pub tags: Vec<(String, String)>,
    /// Whether it failed.
    pub failed: bool,
}

/// Many spans of one program, which has these tags.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'b> {
    /// The program's tags.
    pub program: &'b [(String, String)],
    /// Its spans.
    pub spans: &'b [Span],
}

impl Batch<'_> {
    /// The message for OTLP over HTTP.
    pub fn encode(&self) -> Bytes {
        self.message().encode_to_vec().into()
    }

    /// The message for OTLP over gRPC, framed.
    pub fn encode_framed(&self) -> Bytes {
        frame(&self.message())
    }

    fn message(&self) -> ExportTraceServiceRequest {
        let scope =
            InstrumentationScope { name: "ambit".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let spans = trace::ScopeSpans { scope: Some(scope), spans: self.spans.iter().map(span).collect() };
        let resource = Resource { attributes: tags(self.program) };
        let resource_spans =
            vec![trace::ResourceSpans { resource: Some(resource), scope_spans: vec![spans] }];
        ExportTraceServiceRequest { resource_spans }
    }
}

fn span(span: &Span) -> trace::Span {
    /// `SPAN_KIND_SERVER`, as Istio's proxies say.
    const SERVER: i32 = 2;
    /// `STATUS_CODE_ERROR`.
    const ERROR: i32 = 2;
    trace::Span {
        trace_id: span.trace.to_vec(),
        span_id: span.id.to_vec(),
        trace_state: span.state.clone(),
        parent_span_id: span.parent.map(|parent| parent.to_vec()).unwrap_or_default(),
        name: span.name.clone(),
        kind: SERVER,
        start_time_unix_nano: nanos(span.begin),
        end_time_unix_nano: nanos(span.end),
        attributes: tags(&span.tags),
        status: span.failed.then(|| trace::Status { message: String::new(), code: ERROR }),
    }
}

fn nanos(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}

fn tags(tags: &[(String, String)]) -> Vec<KeyValue> {
    let text = |text: &String| AnyValue { value: Some(any_value::Value::StringValue(text.clone())) };
    tags.iter().map(|(name, value)| KeyValue { key: name.clone(), value: Some(text(value)) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::unframe;

    #[test]
    fn a_batch_says_whose_spans_they_are() {
        let one = Span {
            trace: [1; 16],
            id: [2; 8],
            parent: Some([3; 8]),
            state: "a=b".to_owned(),
            name: "cart:80/*".to_owned(),
            begin: UNIX_EPOCH,
            end: UNIX_EPOCH + std::time::Duration::from_nanos(7),
            tags: vec![("http.method".to_owned(), "GET".to_owned())],
            failed: true,
        };
        let program = [("service.name".to_owned(), "waypoint.shop".to_owned())];
        let batch = Batch { program: &program, spans: std::slice::from_ref(&one) };
        let message = ExportTraceServiceRequest::decode(&*batch.encode()).unwrap();
        assert_eq!(unframe(&batch.encode_framed()).unwrap(), &*batch.encode());
        let of_program = &message.resource_spans[0];
        assert_eq!(of_program.resource.as_ref().unwrap().attributes[0].key, "service.name");
        let said = &of_program.scope_spans[0].spans[0];
        assert_eq!((said.end_time_unix_nano, &*said.name), (7, "cart:80/*"));
        assert_eq!((said.status.as_ref().unwrap().code, said.kind), (2, 2));
    }
}
