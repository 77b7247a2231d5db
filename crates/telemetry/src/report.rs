//! The one place where a connection's end is counted and logged.
//!
//! A flow makes a [`ConnectionReport`] when it accepts, tells it what it learns, calls [`opened`](ConnectionReport::opened)
//! once it knows both ends, and finishes it once. A report that is dropped unfinished, as when its flow is cancelled,
//! finishes itself: no connection goes missing.

mod failure;
mod passed;

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ambit_model::{Identity, Service, Text, Workload};

use crate::access_log::{self, Record};
use crate::flags::ResponseFlag;
use crate::labels::{Reporter, SecurityPolicy, TrafficFacts};
use crate::traffic::{OpenSocket, Series, Worker};

pub use failure::{Failure, Severity};
pub use passed::Passed;

/// The destination inside a tunnel (`dst.hbone_addr`): the authority of its CONNECT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HboneTarget {
    /// An address.
    Address(SocketAddr),
    /// A host name and port, as to another network.
    Name(Text, u16),
}

impl fmt::Display for HboneTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name, port) => {
                // A peer wrote it; it must not look like another field of the log.
                for character in name.chars() {
                    match character {
                        'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' | '_' => f.write_char(character)?,
                        other => write!(f, "{}", other.escape_unicode())?,
                    }
                }
                write!(f, ":{port}")
            }
        }
    }
}

/// One connection, from its acceptance to its end.
#[derive(Debug)]
pub struct ConnectionReport {
    worker: Worker,
    facts: Box<Facts>,
    /// Set while the connection is open.
    series: Option<Arc<Series>>,
    passed: Arc<Passed>,
    finished: bool,
    _socket: OpenSocket,
}

#[derive(Debug)]
struct Facts {
    reporter: Reporter,
    start: Instant,
    source_address: SocketAddr,
    destination_address: SocketAddr,
    hbone_target: Option<HboneTarget>,
    source: Option<Arc<Workload>>,
    source_identity: Option<Identity>,
    destination: Option<Arc<Workload>>,
    service: Option<Arc<Service>>,
    security: SecurityPolicy,
    policy: Option<Text>,
    same_node: bool,
}

impl Facts {
    fn traffic(&self, flag: ResponseFlag) -> TrafficFacts<'_> {
        TrafficFacts {
            reporter: self.reporter,
            source: self.source.as_deref(),
            source_identity: self.source_identity.as_ref(),
            destination: self.destination.as_deref(),
            service: self.service.as_deref(),
            flag,
            security: self.security,
            request: None,
        }
    }
}

impl ConnectionReport {
    /// A connection was accepted at `start`. Its socket counts as open from now on.
    pub fn accepted(
        worker: &Worker,
        reporter: Reporter,
        start: Instant,
        source: SocketAddr,
        destination: SocketAddr,
    ) -> Self {
        let facts = Facts {
            reporter,
            start,
            source_address: source,
            destination_address: destination,
            hbone_target: None,
            source: None,
            source_identity: None,
            destination: None,
            service: None,
            security: SecurityPolicy::Unknown,
            policy: None,
            same_node: false,
        };
        Self {
            worker: worker.clone(),
            facts: Box::new(facts),
            series: None,
            passed: Arc::default(),
            finished: false,
            _socket: worker.socket(reporter),
        }
    }

    /// The client's workload.
    pub fn source(&mut self, workload: Arc<Workload>) -> &mut Self {
        self.facts.source = Some(workload);
        self
    }

    /// The client's identity: its certificate's on the inbound side, the one that this proxy presents on the outbound
    /// side. It becomes `source_principal`; the log shows it for mutual TLS.
    pub fn source_identity(&mut self, identity: Identity) -> &mut Self {
        self.facts.source_identity = Some(identity);
        self
    }

    /// The server's workload.
    pub fn destination(&mut self, workload: Arc<Workload>) -> &mut Self {
        self.facts.destination = Some(workload);
        self
    }

    /// The address that is dialled (`dst.addr`), when it is another than the accepted one: of a tunnel with port 15008.
    pub fn destination_address(&mut self, address: SocketAddr) -> &mut Self {
        self.facts.destination_address = address;
        self
    }

    /// The service that the client asked for.
    pub fn service(&mut self, service: Arc<Service>) -> &mut Self {
        self.facts.service = Some(service);
        self
    }

    /// The destination inside the tunnel.
    pub fn hbone_target(&mut self, target: HboneTarget) -> &mut Self {
        self.facts.hbone_target = Some(target);
        self
    }

    /// How the connection is secured.
    pub fn security(&mut self, security: SecurityPolicy) -> &mut Self {
        self.facts.security = security;
        self
    }

    /// The policy that allowed the connection, logged as `policy`. Ours, and only where there is one.
    pub fn policy(&mut self, policy: Text) -> &mut Self {
        self.facts.policy = Some(policy);
        self
    }

    /// Both ends are pods of this node and joined inside this process: identities and policies were checked as for a
    /// tunnel, the bytes are not encrypted since they leave neither process nor kernel. Logged as
    /// `connection.path="same-node"`, which Istio does not have; the metrics are a tunnel's.
    pub fn same_node(&mut self) -> &mut Self {
        self.facts.same_node = true;
        self
    }

    /// Both ends are known: counts the connection as opened and logs `connection opened` at DEBUG. What is learned
    /// afterwards still reaches the log, and the labels of its end, but not those of its bytes. Once; again is ignored.
    pub fn opened(&mut self) {
        if self.series.is_some() || self.finished {
            return;
        }
        let series = self.worker.series(&self.facts.traffic(ResponseFlag::None));
        series.opened();
        self.passed.count_in(series.clone());
        self.series = Some(series);
        access_log::opened(&self.record(None));
    }

    /// Bytes went from client to server, whichever end reports. Call it as they pass; before `opened` they are only
    /// logged.
    pub fn request_bytes(&self, bytes: u64) {
        self.passed.request_bytes(bytes);
    }

    /// Bytes went from server to client, whichever end reports.
    pub fn response_bytes(&self, bytes: u64) {
        self.passed.response_bytes(bytes);
    }

    /// The same two counts, for whoever moves bytes without this report at hand.
    pub fn passed(&self) -> Arc<Passed> {
        self.passed.clone()
    }

    /// The connection is over: counts and logs it.
    pub fn finish(mut self, result: Result<(), Failure>) {
        self.end(result.as_ref().err());
    }

    fn end(&mut self, failure: Option<&Failure>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let flag = failure.map_or(ResponseFlag::None, Failure::flag);
        let opened = self.series.take();
        if flag != ResponseFlag::None || opened.is_some() {
            // Istio counts the end under its flag, the beginning and the bytes under none.
            let series = match &opened {
                Some(series) if flag == ResponseFlag::None => series.clone(),
                _ => self.worker.series(&self.facts.traffic(flag)),
            };
            if opened.is_some() {
                series.closed();
            }
            if flag != ResponseFlag::None {
                series.failed();
            }
        }
        let record = self.record(failure);
        match failure {
            None => access_log::complete(&record),
            Some(failure) if opened.is_some() => access_log::failed_open(&record, failure.severity),
            Some(failure) => access_log::failed_early(&record, failure.severity),
        }
    }

    fn record<'a>(&'a self, failure: Option<&'a Failure>) -> Record<'a> {
        let facts = &*self.facts;
        let (request, response) = self.passed.totals();
        // The log speaks for the reporting end: a client sends the request, a server the response.
        let (sent, received) = match facts.reporter {
            Reporter::Source => (request, response),
            Reporter::Destination | Reporter::Waypoint => (response, request),
        };
        Record {
            traffic: facts.traffic(ResponseFlag::None),
            source_address: facts.source_address,
            destination_address: facts.destination_address,
            hbone_target: facts.hbone_target.as_ref(),
            policy: facts.policy.as_deref(),
            path: facts.same_node.then_some("same-node"),
            sent,
            received,
            duration: facts.start.elapsed(),
            error: failure.map(Failure::text),
        }
    }
}

impl Drop for ConnectionReport {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Some(&Failure::drained()));
        }
    }
}
