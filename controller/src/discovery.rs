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
use crate::names::on_node;
use crate::publish::InForce;
use crate::tokens::{NodeName, TokenRefusal, Tokens, bearer};

/// The metadata key of a discovery node under which it says on which machine it runs.
const NODE_NAME: &str = "NODE_NAME";

/// Proves nodes by their tokens, for every call on the TLS port.
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

    /// The node that the `authorization` header proves. The refusal says all that the operator needs; the caller is
    /// told less ([`TOLD`]).
    pub fn node(&self, header: Option<&http::HeaderValue>) -> Result<NodeName, TokenRefusal> {
        let outcome = bearer(header).and_then(|token| self.tokens.verify(token, self.clock.now()));
        if outcome.is_err() {
            self.metrics.unauthenticated.increment();
        }
        outcome
    }

    /// Whether the header proves a node, uncounted.
    pub fn proves(&self, header: Option<&http::HeaderValue>) -> bool {
        bearer(header).and_then(|token| self.tokens.verify(token, self.clock.now())).is_ok()
    }

    /// As [`Gate::node`], for gRPC: refusals are logged here.
    pub fn call(&self, metadata: &MetadataMap, what: &str) -> Result<NodeName, Status> {
        self.node(metadata.as_ref().get(http::header::AUTHORIZATION)).map_err(|refusal| {
            tracing::warn!(call = what, "unauthenticated call refused: {refusal}");
            Status::unauthenticated(TOLD)
        })
    }
}

/// What a caller without a valid token is told.
pub const TOLD: &str = "this call needs a valid node token: make one with `controller token --node NAME` and send it as bearer token";

/// Admits nodes to the configuration.
#[derive(Debug)]
pub struct Admission {
    gate: Gate,
    in_force: watch::Receiver<Option<InForce>>,
}

impl Admission {
    /// Admission by `gate`, once a configuration is in force.
    pub fn new(gate: Gate, in_force: watch::Receiver<Option<InForce>>) -> Self {
        Self { gate, in_force }
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
        match node.text(NODE_NAME) {
            Some(claimed) if claimed != proven.as_str() => {
                let claimed: String = claimed.chars().take(64).collect();
                tracing::warn!(node = %proven, claimed, "discovery refused: the client claims to be another node");
                Err(Status::permission_denied(format!(
                    "the token is for node {proven}, but NODE_NAME says {claimed:?}; set both to the same node"
                )))
            }
            _ => {
                Ok(ClientView::everything(proven.as_str())
                    .with_unasked(Kind::Address, on_node(proven.as_str())))
            }
        }
    }
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
