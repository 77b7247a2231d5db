//! Who may have the configuration, and what is heard of those who have it.

use std::sync::Arc;

use ambit_identity::Clock;
use ambit_model::Text;
use ambit_xds::server::{Authorize, ClientView, Observer};
use ambit_xds::{Kind, Node};
use tokio::sync::watch;
use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::metrics::Metrics;
use crate::names::{Names, on_node};
use crate::publish::InForce;
use crate::tokens::{Caller, NodeName, TokenRefusal, Tokens, WorkloadName, bearer};

/// The metadata key of a discovery node under which it says on which machine it runs.
const NODE_NAME: &str = "NODE_NAME";

/// Proves callers by their tokens, for every call on the TLS port.
#[derive(Debug, Clone)]
pub struct Gate {
    tokens: Arc<Tokens>,
    clock: Clock,
    metrics: Metrics,
}

impl Gate {
    /// A gate that `tokens` open.
    pub fn new(tokens: Arc<Tokens>, clock: Clock, metrics: Metrics) -> Self {
        Self { tokens, clock, metrics }
    }

    /// Whom the `authorization` header proves. The refusal says all that the operator needs; the caller is told less
    /// ([`TOLD`]).
    pub fn caller(&self, header: Option<&http::HeaderValue>) -> Result<Caller, TokenRefusal> {
        let outcome = bearer(header).and_then(|token| self.tokens.verify(token, self.clock.now()));
        if outcome.is_err() {
            self.metrics.unauthenticated.increment();
        }
        outcome
    }

    /// Whether the header proves anybody, uncounted.
    pub fn proves(&self, header: Option<&http::HeaderValue>) -> bool {
        bearer(header).and_then(|token| self.tokens.verify(token, self.clock.now())).is_ok()
    }

    /// As [`Gate::caller`], for gRPC: refusals are logged here.
    pub fn call(&self, metadata: &MetadataMap, what: &str) -> Result<Caller, Status> {
        self.caller(metadata.as_ref().get(http::header::AUTHORIZATION)).map_err(|refusal| {
            tracing::warn!(call = what, "unauthenticated call refused: {refusal}");
            Status::unauthenticated(TOLD)
        })
    }
}

/// What a caller without a valid token is told.
pub const TOLD: &str = "this call needs a valid node token: make one with `controller token --node NAME`, or for a waypoint with `controller token --workload NAMESPACE/SERVICEACCOUNT`, and send it as bearer token";

/// Admits nodes and waypoints to the configuration.
#[derive(Debug)]
pub struct Admission {
    gate: Gate,
    in_force: watch::Receiver<Option<InForce>>,
    names: Names,
}

impl Admission {
    /// Admission by `gate`, once a configuration is in force. `names` knows who serves which Gateway.
    pub fn new(gate: Gate, in_force: watch::Receiver<Option<InForce>>, names: Names) -> Self {
        Self { gate, in_force, names }
    }
}

impl Authorize for Admission {
    fn admit(&self, metadata: &MetadataMap) -> Result<(), Status> {
        self.gate.call(metadata, "DeltaAggregatedResources")?;
        // An empty answer would make nodes forget what they know, and treat mesh workloads as strangers.
        if self.in_force.borrow().is_none() {
            return Err(Status::unavailable(
                "no valid configuration yet; the controller's log says what is wrong",
            ));
        }
        Ok(())
    }

    fn authorize(&self, metadata: &MetadataMap, node: &Node) -> Result<ClientView, Status> {
        let proven = self.gate.call(metadata, "DeltaAggregatedResources")?;
        let on = match &proven {
            Caller::Node(node) => Some(node),
            Caller::Workload(workload) => workload.node(),
        };
        let claimed = node.text(NODE_NAME);
        if let (Some(on), Some(claimed)) =
            (on, claimed.filter(|claimed| on.is_some_and(|on| on.as_str() != *claimed)))
        {
            let claimed: String = claimed.chars().take(64).collect();
            tracing::warn!(caller = %proven, claimed, "discovery refused: the client claims to be on another node");
            return Err(Status::permission_denied(format!(
                "the token is for node {on}, but NODE_NAME says {claimed:?}; set both to the same node"
            )));
        }
        Ok(match &proven {
            Caller::Node(node) => of_node(node),
            Caller::Workload(workload) => of_workload(workload, self.names.clone()),
        })
    }
}

/// A node's proxy sees workloads, services and policies; what is done with requests is no business of its.
fn of_node(node: &NodeName) -> ClientView {
    ClientView::only(node.as_str(), |kind, _| kind != Kind::L7)
        .with_unasked(Kind::Address, on_node(node.as_str()))
}

/// A waypoint or gateway sees what is done with requests, too; of Gateways, which hold private keys, only those that it
/// serves. Who serves them is part of them, so that each change of it is sent.
fn of_workload(workload: &WorkloadName, names: Names) -> ClientView {
    let (own, account) =
        (format!("Gateway/{}/", workload.namespace()), workload.service_account().to_owned());
    let visible = move |kind, name: &str| {
        kind != Kind::L7
            || !name.starts_with("Gateway/")
            || (name.starts_with(&own) && names.serves(name, &account))
    };
    ClientView::only(workload.to_string(), visible)
}

/// Counts and logs what happens to clients.
#[derive(Debug)]
pub struct Heard(pub Metrics);

impl Observer for Heard {
    fn connected(&self, client: &Text, node: &Node) {
        self.0.clients.add(1);
        tracing::info!(node = %client, id = node.id, "discovery client connected");
    }

    fn disconnected(&self, client: &Text) {
        self.0.clients.add(-1);
        tracing::info!(node = %client, "discovery client disconnected");
    }

    fn rejected(&self, _client: &Text, kind: Kind, _message: &str) {
        self.0.nacks.with([&kind.to_string()]).increment();
    }
}
