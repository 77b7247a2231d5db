//! Tells the controller which pods of this node are captured: on every change, and again every 10 s.

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::{ControlChannel, ControlSettings, RootCa};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::body::Body;
use tower_service::Service;

use crate::NodeName;
use crate::arguments::Controller;

/// Time for one call.
const CALL: Duration = Duration::from_secs(5);
/// The whole list is told again after this, in case the controller has lost it.
const AGAIN: Duration = Duration::from_secs(10);
const SHORTEST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Most of a refusal's text that is repeated.
const LONGEST_REASON: usize = 400;

/// A captured pod. The uid keeps a new pod of the same name from being taken for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// What the controller is to know. Revisions grow with each change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    pub(crate) revision: u64,
    pub(crate) pods: Arc<Vec<PodKey>>,
}

/// Why the controller does not know.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    /// It could not be reached.
    #[error(transparent)]
    Control(#[from] ambit_identity::control::ControlError),
    /// It did not answer.
    #[error("the controller at {0} did not answer within 5 s: see its log")]
    Silent(String),
    /// It refused the token.
    #[error(
        "the controller at {address} refused the report of captured pods ({status}: {reason}): give --token a token of this node (controller token --node NAME)"
    )]
    Denied { address: String, status: StatusCode, reason: String },
    /// It refused the report.
    #[error(
        "the controller at {address} refused the report of captured pods ({status}: {reason}): see its log"
    )]
    Refused { address: String, status: StatusCode, reason: String },
}

/// The way to the controller.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    channel: ControlChannel,
    path: String,
}

impl Reporter {
    /// `None` when no controller is configured.
    ///
    /// # Errors
    /// The address cannot be used.
    pub(crate) fn new(
        arguments: &Controller,
        node: &NodeName,
    ) -> Result<Option<Self>, ambit_identity::control::ControlError> {
        let (Some(address), Some(root)) = (&arguments.controller, &arguments.root) else { return Ok(None) };
        let mut settings = ControlSettings::new(address, RootCa::File(root.clone()));
        settings.verify_name = arguments.controller_name.clone();
        settings.token = arguments.token.clone();
        let channel = ControlChannel::new(settings)?;
        Ok(Some(Self { channel, path: format!("/ambit/v1/nodes/{node}/captured") }))
    }

    /// Tells it once which pods are captured. Enrolled ones that it knows and that are missing stay announced.
    ///
    /// # Errors
    /// It has not taken the report.
    pub(crate) async fn tell(&self, pods: &[PodKey]) -> Result<(), ReportError> {
        self.put(listed(pods)).await
    }

    /// Tells it that no pod is captured any more, not even those that are enrolled.
    ///
    /// # Errors
    /// It has not taken the report.
    pub(crate) async fn release_all(&self) -> Result<(), ReportError> {
        self.put(json!({"pods": [], "released": true})).await
    }

    async fn put(&self, report: Value) -> Result<(), ReportError> {
        let silent = || ReportError::Silent(self.channel.address().to_owned());
        timeout(CALL, self.call(report)).await.map_err(|_| silent())?
    }

    async fn call(&self, report: Value) -> Result<(), ReportError> {
        let body = Full::new(Bytes::from(report.to_string()));
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = Method::PUT;
        // A node's name is safe in a path.
        *request.uri_mut() = http::Uri::try_from(self.path.as_str()).unwrap_or_default();
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        let response = self.channel.clone().call(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 16 * 1024).collect().await;
        if status.is_success() {
            return Ok(());
        }
        let text =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        let reason = text.chars().take(LONGEST_REASON).flat_map(char::escape_debug).collect::<String>();
        let address = self.channel.address().to_owned();
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                ReportError::Denied { address, status, reason }
            }
            _ => ReportError::Refused { address, status, reason },
        })
    }

    /// Keeps the controller informed until `captured` is closed; `told` is the last revision that it has taken.
    pub(crate) async fn run(
        self,
        mut captured: watch::Receiver<Option<Captured>>,
        told: watch::Sender<Option<u64>>,
    ) {
        let mut wait = SHORTEST_WAIT;
        let mut last_error: Option<String> = None;
        loop {
            let now = captured.borrow_and_update().clone();
            let pause = match now {
                None => None,
                Some(list) => match self.tell(&list.pods).await {
                    Ok(()) => {
                        if last_error.take().is_some() || told.borrow().is_none() {
                            tracing::info!(
                                captured = list.pods.len(),
                                "the controller at {} knows which pods are captured",
                                self.channel.address()
                            );
                        }
                        told.send_replace(Some(list.revision));
                        wait = SHORTEST_WAIT;
                        Some((AGAIN, true))
                    }
                    Err(error) => {
                        let line = error.to_string();
                        if last_error.as_ref() != Some(&line) {
                            tracing::warn!("{line}; it is tried again");
                            last_error = Some(line);
                        }
                        // Apart from other nodes that lost the same controller.
                        let pause = wait.mul_f64(rand::random_range(0.5..1.0));
                        wait = (wait * 2).min(LONGEST_WAIT);
                        Some((pause, false))
                    }
                },
            };
            let ended = match pause {
                None => captured.changed().await.is_err(),
                Some((pause, true)) => matches!(timeout(pause, captured.changed()).await, Ok(Err(_))),
                // What changes meanwhile is told then.
                Some((pause, false)) => {
                    sleep(pause).await;
                    captured.has_changed().is_err()
                }
            };
            if ended {
                return;
            }
        }
    }
}

fn listed(pods: &[PodKey]) -> Value {
    let pods: Vec<_> = pods
        .iter()
        .map(|pod| json!({"namespace": pod.namespace, "name": pod.name, "uid": pod.uid}))
        .collect();
    json!({ "pods": pods })
}
