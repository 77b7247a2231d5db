//! `PUT /ambit/v1/nodes/NODE/captured`: which pods a node's agent has captured.

use std::fmt::Display;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use tonic::body::Body;

use crate::captured::{MOST_PODS, NodeReport};
use crate::discovery::{Gate, TOLD};
use crate::publish::{ReportError, Reports};
use crate::tokens::{Caller, NodeName};

/// What our own paths begin with.
pub(super) const PREFIX: &str = "/ambit/";

/// Largest report: ten thousand pods with the longest usual names.
const LARGEST: usize = 4 << 20;

/// How long a report may take to arrive.
const READ_TIME: Duration = Duration::from_secs(10);

/// How much of a refused report is read, and for how long, before the refusal.
const UNREAD: usize = 64 << 10;
const UNREAD_TIME: Duration = Duration::from_secs(1);

/// Why a report is refused.
struct Refused(StatusCode, String);

/// Answers a call below [`PREFIX`]: 204 when the report is on disk and published, else a status and one line.
pub(super) async fn answer(request: Request<Incoming>, gate: &Gate, reports: &Reports) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let outcome = report(&head, &mut body, gate, reports).await;
    if outcome.is_err() {
        // Clients expect their request to be read before it is answered; what is longer or slower is cut off.
        let rest = Limited::new(body, UNREAD).collect();
        let _ = tokio::time::timeout(UNREAD_TIME, rest).await;
    }
    match outcome {
        Ok(()) => response(StatusCode::NO_CONTENT, String::new()),
        Err(Refused(status, reason)) => response(status, format!("{reason}\n")),
    }
}

async fn report(head: &Parts, body: &mut Incoming, gate: &Gate, reports: &Reports) -> Result<(), Refused> {
    let caller = gate.caller(head.headers.get(http::header::AUTHORIZATION)).map_err(|refusal| {
        tracing::warn!(call = "captured", "unauthenticated call refused: {refusal}");
        Refused(StatusCode::UNAUTHORIZED, TOLD.to_owned())
    })?;
    let Caller::Node(proven) = caller else {
        tracing::warn!(%caller, "report refused: only agents of nodes report");
        let reason = format!("the token is for {caller}, but only a node's agent reports captured pods");
        return Err(Refused(StatusCode::FORBIDDEN, reason));
    };
    let node = addressed(head.uri.path())?;
    if head.method != Method::PUT {
        return Err(refused(StatusCode::METHOD_NOT_ALLOWED, "only PUT is served here"));
    }
    if node != proven {
        tracing::warn!(node = %proven, of = %node, "report refused: it is about another node");
        let reason = format!("the token is for node {proven}, but the report is about {node}");
        return Err(Refused(StatusCode::FORBIDDEN, reason));
    }
    let report = read(body).await?;
    reports.take(node.clone(), report).await.map_err(|error| {
        tracing::error!(%node, %error, "captured pods could not be kept, so they are not published");
        match error {
            ReportError::State(_) => {
                refused(StatusCode::INSUFFICIENT_STORAGE, "the controller cannot write its state directory")
            }
            ReportError::Closing => refused(StatusCode::SERVICE_UNAVAILABLE, error),
        }
    })
}

fn addressed(path: &str) -> Result<NodeName, Refused> {
    let node = path.strip_prefix("/ambit/v1/nodes/").and_then(|rest| rest.strip_suffix("/captured"));
    let node =
        node.ok_or_else(|| refused(StatusCode::NOT_FOUND, "there is /ambit/v1/nodes/NODE/captured"))?;
    node.parse().map_err(|error| refused(StatusCode::BAD_REQUEST, error))
}

async fn read(body: &mut Incoming) -> Result<NodeReport, Refused> {
    let bytes = match tokio::time::timeout(READ_TIME, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(bytes)) => bytes.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            return Err(refused(StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LARGEST} bytes are read")));
        }
        Ok(Err(_)) => return Err(refused(StatusCode::BAD_REQUEST, "the body ended early")),
        Err(_) => return Err(refused(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 10 s")),
    };
    let report: NodeReport = serde_json::from_slice(&bytes).map_err(|error| {
        let wanted = r#"send {"pods":[{"namespace":"NS","name":"POD"}]}"#;
        refused(StatusCode::BAD_REQUEST, format!("the report cannot be read: {error}; {wanted}"))
    })?;
    if report.pods.len() > MOST_PODS {
        return Err(refused(StatusCode::BAD_REQUEST, format!("a node has at most {MOST_PODS} pods")));
    }
    Ok(report)
}

fn refused(status: StatusCode, reason: impl Display) -> Refused {
    Refused(status, reason.to_string())
}

fn response(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::from(text)));
    *response.status_mut() = status;
    let text = http::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, text);
    response
}
