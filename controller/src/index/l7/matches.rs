//! Which requests a rule is for.

use ambit_kubernetes::gateway_api::{GrpcMatch, HttpFieldMatch, HttpMatch, MatchType, PathMatchType};
use ambit_model::Text;
use ambit_model::l7::matching::{FieldMatch, PathMatch, ValueMatch};
use ambit_model::l7::route::Match;

/// Matches of an HTTPRoute's rule, with the defaults that its CRD fills in.
pub(super) fn http(matches: &[HttpMatch]) -> Vec<Match> {
    let every = [HttpMatch::default()];
    let matches = if matches.is_empty() { &every[..] } else { matches };
    matches.iter().map(http_one).collect()
}

fn http_one(one: &HttpMatch) -> Match {
    let (kind, value) = one.path();
    let path = match kind {
        PathMatchType::Exact => PathMatch::Exact(value.into()),
        PathMatchType::PathPrefix => PathMatch::Elements(value.into()),
        PathMatchType::RegularExpression => PathMatch::Regex(value.into()),
    };
    Match {
        path: Some(path),
        method: one.method.as_deref().map(|method| ValueMatch::Exact(method.into())),
        headers: one.headers.iter().map(header).collect(),
        query: one.query_params.iter().map(|query| field(query, query.name.as_str().into())).collect(),
        ..Match::default()
    }
}

/// Matches of a GRPCRoute's rule; none matches every call.
pub(super) fn grpc(matches: &[GrpcMatch]) -> Vec<Match> {
    matches.iter().map(grpc_one).collect()
}

fn grpc_one(one: &GrpcMatch) -> Match {
    let path = one.method.as_ref().map(|method| {
        let compare = |text: &String| value(method.kind.unwrap_or_default(), text);
        PathMatch::Grpc {
            service: method.service.as_ref().map(compare),
            method: method.method.as_ref().map(compare),
        }
    });
    Match { path, headers: one.headers.iter().map(header).collect(), ..Match::default() }
}

fn header(one: &HttpFieldMatch) -> FieldMatch {
    field(one, one.name.to_ascii_lowercase().into())
}

fn field(one: &HttpFieldMatch, name: Text) -> FieldMatch {
    FieldMatch { name, value: value(one.kind.unwrap_or_default(), &one.value) }
}

fn value(kind: MatchType, text: &str) -> ValueMatch {
    match kind {
        MatchType::Exact => ValueMatch::Exact(text.into()),
        MatchType::RegularExpression => ValueMatch::Regex(text.into()),
    }
}
