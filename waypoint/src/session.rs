//! One connection that came through a tunnel, or from outside to a gateway: for whom, to what, and what its requests have in common.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use ambit_hbone::{Authority, Baggage, ConnectRequest, Forwarded, TraceParent};
use ambit_model::l7::route::BackendRef;
use ambit_model::{Identity, Service, Workload};
use ambit_policy::request::Request;
use ambit_policy::{Chosen, Family};
use ambit_telemetry::labels::{Reporter, SecurityPolicy};
use ambit_telemetry::report::{ConnectionReport, HboneTarget};
use ambit_telemetry::requests::RequestReport;
use ambit_transport::Watch;
use http::HeaderValue;

use crate::destinations::{Asker, Call, Current, Destination, Uncallable};
use crate::endpoint::endpoint;
use crate::ingress::{Entrance, NoListener};
use crate::network::Network;
use crate::proxy::Proxy;
use crate::rules::ServiceRules;
use crate::target::Target;

/// Who connected.
#[derive(Debug, Clone)]
pub struct Client {
    /// The TCP peer: the client's pod, or who is outside.
    pub address: SocketAddr,
    /// Who it proved to be in its tunnel; `None` outside of the mesh.
    pub identity: Option<Identity>,
    /// Its workload, where its address and its identity agree. Names series, decides nothing.
    pub workload: Option<Arc<Workload>>,
}

/// A connection.
#[derive(Debug)]
pub struct Session<N: Network> {
    /// The worker.
    pub proxy: Arc<Proxy<N>>,
    /// Who connected.
    pub client: Client,
    /// What for.
    pub target: Target,
    /// The CONNECT's own words; at a gateway the address that was dialled.
    pub authority: Authority,
    /// Who connected, as policies and routes see it.
    pub caller: Arc<ambit_policy::request::Client>,
    /// What was dialled, as they see it.
    pub destination: Arc<ambit_policy::request::Destination>,
    /// What applications are told of the client, where they are.
    pub certificate_header: Option<HeaderValue>,
    /// Whether the connection's bytes are no HTTP any more: an endpoint has agreed to an upgrade.
    pub switched: Arc<AtomicBool>,
    /// The end.
    pub drain: Watch,
}

impl<N: Network> Session<N> {
    /// The service that the client asked for, or that leads to the workload it asked for.
    pub fn service(&self) -> Option<&Arc<Service>> {
        match &self.target {
            Target::Service { service, .. } => Some(service),
            Target::Workload { .. } | Target::Entrance(_) => None,
        }
    }

    /// Where it came in, if not through a tunnel.
    pub fn entrance(&self) -> Option<&Entrance> {
        match &self.target {
            Target::Entrance(entrance) => Some(entrance),
            Target::Service { .. } | Target::Workload { .. } => None,
        }
    }

    /// What users ask of a request that came in here, as of now: its host decides which listener's it is.
    ///
    /// # Errors
    /// No listener of the gateway takes it, or another than the one that the connection is for.
    pub fn listener_rules(
        &self,
        entrance: &Entrance,
        request: &Request,
    ) -> Result<Arc<ServiceRules>, NoListener> {
        entrance.rules(&self.proxy.rules.listeners(), request.authority().host())
    }

    /// What users ask of requests to the target, as of now.
    pub fn rules(&self) -> Arc<ServiceRules> {
        match &self.target {
            Target::Service { service, .. } => self.proxy.rules.of_service(&service.key),
            // Those of the gateway as a whole, without any route.
            Target::Workload { .. } | Target::Entrance(_) => self.proxy.rules.of_workloads(),
        }
    }

    /// Where requests go that are for a rule's backend, or for the target itself.
    ///
    /// # Errors
    /// There is nobody.
    pub fn call(&self, backend: Option<&BackendRef>) -> Result<Call, Uncallable> {
        let proxy = &self.proxy;
        let (snapshot, in_force) = (proxy.configuration.snapshot(), proxy.rules.in_force());
        let own = proxy.own(&snapshot).workload;
        let mut rng = rand::rng();
        let now = tokio::time::Instant::now().into_std();
        let (service, port, subset) = match (&self.target, backend) {
            (_, Some(to)) => {
                let port = if to.port == 0 { self.target.port() } else { to.port };
                (&to.service, port, to.subset.as_ref())
            }
            (Target::Service { service, port, .. }, None) => (&service.key, *port, None),
            (Target::Entrance(_), None) => {
                return Err(Uncallable::Rules("a listener of a gateway is no destination".into()));
            }
            (Target::Workload { workload, address, protocol }, None) => {
                let workload = snapshot.workload(&workload.uid).filter(|now| now.owns(address.ip()));
                let workload = workload.ok_or(Uncallable::Moved(*address))?.clone();
                let chosen = Chosen { workload, target_port: address.port(), address: Some(address.ip()) };
                let endpoint = endpoint(&own, chosen, None)?;
                let current = Current::of_workload(endpoint, *protocol, now, &mut rng).into();
                return Ok(Call { destination: Destination::nameless().into(), current });
            }
        };
        let family = match &self.target {
            Target::Service { dialled: Some(ip), .. } => Family::of(*ip),
            Target::Service { dialled: None, .. } => Family::V4,
            Target::Workload { address, .. } => Family::of(address.ip()),
            Target::Entrance(entrance) => Family::of(entrance.local.ip()),
        };
        let asker = Asker { own: &own, family, namespace: &proxy.settings.namespace };
        let destination = proxy.destinations.of(service, port, subset);
        let current = destination.current(&snapshot, &in_force, asker, now, &mut rng)?;
        Ok(Call { destination, current })
    }

    /// The report of a request that was received at `start`.
    pub fn request_report(&self, start: Instant) -> RequestReport {
        let Client { address, identity, workload } = &self.client;
        let worker = &self.proxy.traffic;
        let mut report = match identity {
            Some(identity) => RequestReport::received(worker, start, *address, identity.clone()),
            None => RequestReport::entered(worker, start, *address, self.own()),
        };
        if let Some(workload) = workload {
            report.source(workload.clone());
        }
        if let Some(service) = self.service() {
            report.service(service.clone(), self.target.port());
        }
        if let Authority::Address(asked) = &self.authority {
            report.asked(*asked);
        }
        report
    }

    /// The report of a connection whose bytes are no requests.
    pub fn connection_report(&self, start: Instant) -> ConnectionReport {
        let Client { address, identity, workload } = &self.client;
        let local = match &self.authority {
            Authority::Address(asked) => *asked,
            Authority::Host { port, .. } => SocketAddr::new(IpAddr::from([0, 0, 0, 0]), *port),
        };
        let mut report =
            ConnectionReport::accepted(&self.proxy.traffic, Reporter::Waypoint, start, *address, local);
        if let Some(identity) = identity {
            report.security(SecurityPolicy::MutualTls).source_identity(identity.clone());
        }
        report.hbone_target(match &self.authority {
            Authority::Address(address) => HboneTarget::Address(*address),
            Authority::Host { hostname, port } => HboneTarget::Name(hostname.clone(), *port),
        });
        if let Some(workload) = workload {
            report.source(workload.clone());
        }
        if let Some(service) = self.service() {
            report.service(service.clone());
        }
        report
    }

    fn own(&self) -> Arc<Workload> {
        self.proxy.own(&self.proxy.configuration.snapshot()).workload
    }

    /// The CONNECT to an endpoint's proxy, for one connection of this client's.
    pub fn connect_request(&self, authority: Authority) -> ConnectRequest {
        self.connect_for(authority, self.client.address)
    }

    /// The CONNECT for a connection that many clients share: it is this proxy's own.
    pub fn shared_connect_request(&self, authority: Authority, own: &Workload) -> ConnectRequest {
        let address = own.addresses.first().copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let mut request = self.connect_for(authority, SocketAddr::new(address, 0));
        request.baggage = Baggage::from(own).encode();
        request
    }

    fn connect_for(&self, authority: Authority, client: SocketAddr) -> ConnectRequest {
        let mut request = ConnectRequest::new(authority);
        let host = self.service().map(|service| service.key.hostname.clone());
        request.forwarded = Forwarded { client, host }.encode();
        request.baggage = self.client.workload.as_deref().and_then(|source| Baggage::from(source).encode());
        request.traceparent = TraceParent::random().encode();
        request
    }
}
