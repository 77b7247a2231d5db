//! One request, from its head to the end of its response.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ambit_model::{Identity, Service, Text, Workload};

use super::flags::RequestFlags;
use super::log::{self, Record, Words};
use crate::flags::ResponseFlag;
use crate::labels::{Reporter, RequestFacts, RequestProtocol, SecurityPolicy, TrafficFacts};
use crate::traffic::Worker;

/// The bytes of one request and its response, heads included, counted as they pass.
#[derive(Debug, Default)]
pub struct RequestBytes {
    request: AtomicU64,
    response: AtomicU64,
}

impl RequestBytes {
    /// Bytes came from the client.
    pub fn request(&self, bytes: u64) {
        self.request.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes went to the client.
    pub fn response(&self, bytes: u64) {
        self.response.fetch_add(bytes, Ordering::Relaxed);
    }

    fn totals(&self) -> (u64, u64) {
        (self.request.load(Ordering::Relaxed), self.response.load(Ordering::Relaxed))
    }
}

/// A request that is under way. Told what is learned about it, it counts and logs it once: when it is finished, or when
/// it is dropped because its client went away.
#[derive(Debug)]
pub struct RequestReport {
    worker: Worker,
    facts: Box<Facts>,
    finished: bool,
}

#[derive(Debug)]
struct Facts {
    start: Instant,
    client: SocketAddr,
    bytes: Arc<RequestBytes>,
    words: Option<Words>,
    log_from: u16,
    reporter: Reporter,
    source: Option<Arc<Workload>>,
    source_identity: Option<Identity>,
    destination: Option<Arc<Workload>>,
    service: Option<Arc<Service>>,
    port: u16,
    asked: Option<SocketAddr>,
    upstream: Option<SocketAddr>,
    upstream_time: Option<Duration>,
    route: Option<Text>,
    protocol: RequestProtocol,
    code: u16,
    grpc_status: Option<u16>,
    flags: RequestFlags,
    details: Cow<'static, str>,
}

impl RequestReport {
    /// A request that was received at `start` from `client`, who proved to be `identity`.
    pub fn received(worker: &Worker, start: Instant, client: SocketAddr, identity: Identity) -> Self {
        let mut report = Self::new(worker, start, client, Reporter::Waypoint);
        report.facts.source_identity = Some(identity);
        report
    }

    /// A request that came from outside of the mesh through the gateway `own`. As in Istio it is the gateway that asks:
    /// its own workload is the source.
    pub fn entered(worker: &Worker, start: Instant, client: SocketAddr, own: Arc<Workload>) -> Self {
        let mut report = Self::new(worker, start, client, Reporter::Source);
        report.facts.source_identity = Some(own.identity.clone());
        report.facts.source = Some(own);
        report
    }

    fn new(worker: &Worker, start: Instant, client: SocketAddr, reporter: Reporter) -> Self {
        let facts = Facts {
            start,
            client,
            reporter,
            bytes: Arc::default(),
            words: None,
            log_from: 0,
            source: None,
            source_identity: None,
            destination: None,
            service: None,
            port: 0,
            asked: None,
            upstream: None,
            upstream_time: None,
            route: None,
            protocol: RequestProtocol::Http,
            code: 0,
            grpc_status: None,
            flags: RequestFlags::NONE,
            details: Cow::Borrowed("-"),
        };
        Self { worker: worker.clone(), facts: Box::new(facts), finished: false }
    }

    /// What only the log says.
    pub fn words(&mut self, words: Words) -> &mut Self {
        self.facts.words = Some(words);
        self
    }

    /// The client's workload.
    pub fn source(&mut self, workload: Arc<Workload>) -> &mut Self {
        self.facts.source = Some(workload);
        self
    }

    /// The service that was asked for, and its port.
    pub fn service(&mut self, service: Arc<Service>, port: u16) -> &mut Self {
        (self.facts.service, self.facts.port) = (Some(service), port);
        self
    }

    /// The address that the client dialled.
    pub fn asked(&mut self, address: SocketAddr) -> &mut Self {
        self.facts.asked = Some(address);
        self
    }

    /// The endpoint that it was sent to last.
    pub fn upstream(&mut self, workload: Arc<Workload>, address: SocketAddr) -> &mut Self {
        (self.facts.destination, self.facts.upstream) = (Some(workload), Some(address));
        self
    }

    /// How long the endpoint took until the head of its response.
    pub fn upstream_time(&mut self, time: Duration) -> &mut Self {
        self.facts.upstream_time = Some(time);
        self
    }

    /// The route that matched.
    pub fn route(&mut self, name: Text) -> &mut Self {
        self.facts.route = Some(name);
        self
    }

    /// It is a gRPC call.
    pub fn grpc(&mut self) -> &mut Self {
        self.facts.protocol = RequestProtocol::Grpc;
        self
    }

    /// The status that the client is sent.
    pub fn code(&mut self, code: u16) -> &mut Self {
        self.facts.code = code;
        self
    }

    /// The gRPC status that the client is sent.
    pub fn grpc_status(&mut self, status: u16) -> &mut Self {
        self.facts.grpc_status = Some(status);
        self
    }

    /// It is logged only if it is answered with this status or a higher one.
    pub fn log_from(&mut self, status: u16) -> &mut Self {
        self.facts.log_from = status;
        self
    }

    /// Adds flags.
    pub fn flag(&mut self, flags: RequestFlags) -> &mut Self {
        self.facts.flags = self.facts.flags | flags;
        self
    }

    /// Why it was answered as it was, in a word or a line.
    pub fn details(&mut self, details: impl Into<Cow<'static, str>>) -> &mut Self {
        self.facts.details = details.into();
        self
    }

    /// The counts of its bytes, for whoever moves them.
    pub fn bytes(&self) -> Arc<RequestBytes> {
        self.facts.bytes.clone()
    }

    /// The response has ended as it should, or as it was flagged.
    pub fn finish(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let facts = &*self.facts;
        let request = RequestFacts {
            protocol: facts.protocol,
            code: facts.code,
            grpc_status: facts.grpc_status,
            flags: facts.flags,
        };
        let traffic = facts.traffic(request);
        let (received, sent) = facts.bytes.totals();
        let duration = facts.start.elapsed();
        self.worker.series(&traffic).request(duration, received, sent);
        if let Some(words) = &facts.words
            && facts.code >= facts.log_from
        {
            log::write(&Record {
                traffic,
                request,
                words,
                client: facts.client,
                asked: facts.asked,
                upstream: facts.upstream,
                cluster: facts.cluster(),
                route: facts.route.as_deref(),
                details: &facts.details,
                received,
                sent,
                duration,
                upstream_time: facts.upstream_time,
            });
        }
    }
}

impl Facts {
    fn traffic(&self, request: RequestFacts) -> TrafficFacts<'_> {
        TrafficFacts {
            reporter: self.reporter,
            source: self.source.as_deref(),
            source_identity: self.source_identity.as_ref(),
            destination: self.destination.as_deref(),
            service: self.service.as_deref(),
            flag: ResponseFlag::None,
            // Of a source Istio says no more.
            security: match self.reporter {
                Reporter::Source => SecurityPolicy::Unknown,
                Reporter::Destination | Reporter::Waypoint => SecurityPolicy::MutualTls,
            },
            request: Some(request),
        }
    }

    /// As Istio names what a waypoint or gateway sends to.
    fn cluster(&self) -> Option<String> {
        let service = self.service.as_ref()?;
        if self.reporter == Reporter::Source {
            return Some(format!("outbound|{}||{}", self.port, service.key.hostname));
        }
        Some(format!("inbound-vip|{}|http|{}", self.port, service.key.hostname))
    }
}

impl Drop for RequestReport {
    fn drop(&mut self) {
        if !self.finished {
            self.flag(RequestFlags::DISCONNECTED);
            if self.facts.details == "-" {
                self.details("downstream_remote_disconnect");
            }
            self.end();
        }
    }
}
