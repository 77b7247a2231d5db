//! A connection that has come to its pod with a proved identity, through a tunnel or handed over inside this process:
//! target -> authorize -> connect. The one way in for both.

use std::sync::Arc;
use std::time::Instant;

use ambit_hbone::Authority;
use ambit_model::traffic::Connection;
use ambit_model::{Identity, Text, Workload};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::{Reporter, SecurityPolicy};
use ambit_telemetry::report::{ConnectionReport, Failure, HboneTarget, Severity};
use ambit_transport::DialOptions;
use http::StatusCode;

use crate::admit::admit;
use crate::connections::{Carried, Line, Seen, Way};
use crate::inbound_service::service;
use crate::inbound_target::target;
use crate::live::Place;
use crate::network::{Ends, Network};
use crate::pod::Pod;
use crate::proxy::Proxy;

/// What is known of a connection before its pod is asked.
#[derive(Debug)]
pub struct Arrival<'a, N: Network> {
    /// The worker.
    pub proxy: &'a Proxy<N>,
    /// The pod that it came to.
    pub pod: &'a Arc<Pod>,
    /// The pod's workload as it was last known.
    pub own: &'a Arc<Workload>,
    /// Where it comes from, and the pod's tunnel address that it came to.
    pub ends: Ends,
    /// Who the client has proved to be.
    pub identity: &'a Identity,
    /// Where it wants to go.
    pub authority: Authority,
    /// The service that the client says it asked for. Names series and log lines, decides nothing.
    pub asked: Option<Text>,
    /// How it came, for operators.
    pub carried: Carried,
}

/// A connection that was let in, and the application's end of it.
#[derive(Debug)]
pub struct Admitted<S> {
    /// The connection to the application.
    pub application: S,
    /// Through this a later change of policy closes it.
    pub place: Place,
    /// The pod's workload now.
    pub own: Arc<Workload>,
    /// Where operators see it.
    pub line: Line,
}

/// A connection that was not let in.
#[derive(Debug)]
pub enum Turned {
    /// The client is told this status and these words; the report of this end says the failure.
    Away(StatusCode, String, Failure),
    /// The client is gone.
    GaveUp,
}

impl Turned {
    /// What the report says of a client that did not wait.
    pub fn gave_up() -> Failure {
        let text = "the client gave up before the application had accepted";
        Failure::new(ResponseFlag::None, text).with_severity(Severity::Information)
    }
}

impl<N: Network> Arrival<'_, N> {
    /// The report of this end.
    pub fn report(&self) -> ConnectionReport {
        let (worker, Ends { peer, destination }) = (&self.proxy.traffic, self.ends);
        let mut report =
            ConnectionReport::accepted(worker, Reporter::Destination, Instant::now(), peer, destination);
        report.security(SecurityPolicy::MutualTls).source_identity(self.identity.clone());
        report.hbone_target(match &self.authority {
            Authority::Address(address) => HboneTarget::Address(*address),
            Authority::Host { hostname, port } => HboneTarget::Name(hostname.clone(), *port),
        });
        report
    }

    /// Checks where the connection wants to go, asks the policies, and dials the application, unless the client is
    /// `gone` before it answers.
    pub async fn admit(
        self,
        gone: impl Future<Output = ()>,
        report: &mut ConnectionReport,
    ) -> Result<Admitted<N::Stream>, Turned> {
        let Self { proxy, pod, ends: Ends { peer, destination: arrived }, identity, .. } = self;
        let snapshot = proxy.configuration.snapshot();
        let own = pod.workload(&snapshot).unwrap_or_else(|_| self.own.clone());
        report.destination(own.clone());
        // The peer's workload is known by its address only where its identity agrees; it names series, nothing else.
        let source =
            snapshot.workload_at(&own.network, peer.ip()).filter(|source| source.identity == *identity);
        if let Some(source) = source {
            report.source(source.clone());
        }
        let target = target(&snapshot, &own, arrived.ip(), &self.authority).map_err(|bad| {
            let reason = bad.to_string();
            Turned::Away(bad.status(), reason.clone(), Failure::connect(reason))
        })?;
        let named = || service(&snapshot, &own, target.address.port(), self.asked.as_deref());
        let service = target.service.clone().or_else(named);
        let hostname = service.as_ref().map(|service| service.key.hostname.clone());
        if let Some(service) = service {
            report.service(service);
        }
        // A connection may live long; an old snapshot should not live with it.
        drop(snapshot);
        let connection = Connection {
            source_ip: peer.ip(),
            network: own.network.clone(),
            source_identity: Some(identity.clone()),
            destination: target.address,
        };
        // As Istio counts: both ends are known, so the connection was opened, whatever policy and application say to it.
        report.opened();
        // The client's operator learns that it was a policy, and ours which one.
        let refuse = |reason| {
            Turned::Away(StatusCode::UNAUTHORIZED, "denied by policy".into(), Failure::denied(reason))
        };
        let place = Box::pin(admit(proxy, pod, &own, &connection, report)).await.map_err(refuse)?;
        // A tunnel arrived at an address of the pod. Nothing arrived here, and a pod that lost the address would dial
        // whoever has it now.
        let local = self.carried == Carried::HandOver;
        // The target is the pod's own address: an application in the same namespace does not vanish without the kernel's
        // word, and needs no probes.
        let (keepalive, user_timeout) = (None, None);
        let options = DialOptions {
            local,
            keepalive,
            user_timeout,
            ..proxy.application_options(peer.ip(), target.address)
        };
        let dialled = tokio::select! {
            dialled = proxy.network.dial(pod, &options, target.address) => dialled,
            () = gone => return Err(Turned::GaveUp),
        };
        let application = dialled.map_err(|error| {
            let details = "the application does not accept connections".into();
            Turned::Away(StatusCode::SERVICE_UNAVAILABLE, details, Failure::connect(error))
        })?;
        let way = Way::Inbound(hostname);
        let seen = Seen { way, source: peer, actual: target.address, carried: self.carried };
        let line = proxy.connections.list(pod, seen);
        Ok(Admitted { application, place, own, line })
    }
}
