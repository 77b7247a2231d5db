//! The labels of Istio's traffic metrics: what identifies one series of traffic.
//!
//! [`TrafficFacts`] borrows what a flow knows and is what a series is looked up by; [`TrafficLabels`] owns the same and
//! is made once per series. What is not known is `unknown`.

use std::hash::{Hash, Hasher};

use ambit_model::{Identity, Service, Text, Workload};

use crate::flags::ResponseFlag;
use crate::metrics::exposition::write_label;
use crate::requests::RequestFlags;

const UNKNOWN: &str = "unknown";
const OVERFLOW: &str = "overflow";

/// Which end of the connection reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The proxy of the client; `direction` is `outbound`.
    Source,
    /// The proxy of the server; `direction` is `inbound`.
    Destination,
    /// The waypoint between them; `direction` is `inbound`.
    Waypoint,
}

impl Reporter {
    /// The value of the label `reporter`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Destination => "destination",
            Self::Waypoint => "waypoint",
        }
    }

    /// The value of the access log's `direction`.
    pub fn direction(self) -> &'static str {
        match self {
            Self::Source => "outbound",
            Self::Destination | Self::Waypoint => "inbound",
        }
    }
}

/// How the connection was secured between the proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SecurityPolicy {
    /// `unknown`: in the clear, as far as the mesh can tell.
    #[default]
    Unknown,
    /// `mutual_tls`: both ends proved their identities.
    MutualTls,
}

impl SecurityPolicy {
    /// The value of the label `connection_security_policy`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => UNKNOWN,
            Self::MutualTls => "mutual_tls",
        }
    }
}

/// The protocol of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestProtocol {
    /// `http`.
    Http,
    /// `grpc`.
    Grpc,
}

/// What the labels of a request show beyond those of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestFacts {
    /// Its protocol.
    pub protocol: RequestProtocol,
    /// The status that the client was sent; 0 where it went away before.
    pub code: u16,
    /// The status of a gRPC call, where one was sent.
    pub grpc_status: Option<u16>,
    /// How it ended.
    pub flags: RequestFlags,
}

/// What a flow knows about a connection or request, as far as labels show it.
#[derive(Debug, Clone, Copy)]
pub struct TrafficFacts<'a> {
    /// Which end reports.
    pub reporter: Reporter,
    /// The client's workload.
    pub source: Option<&'a Workload>,
    /// The client's identity as proved by its certificate; never guessed from an address.
    pub source_identity: Option<&'a Identity>,
    /// The server's workload; its identity is the `destination_principal`.
    pub destination: Option<&'a Workload>,
    /// The service that the client asked for.
    pub service: Option<&'a Service>,
    /// How it ended.
    pub flag: ResponseFlag,
    /// How it was secured.
    pub security: SecurityPolicy,
    /// What is counted is a request.
    pub request: Option<RequestFacts>,
}

/// The owned labels of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficLabels {
    reporter: Reporter,
    source: Option<WorkloadLabels>,
    source_identity: Option<Identity>,
    destination: Option<WorkloadLabels>,
    destination_identity: Option<Identity>,
    service: Option<ServiceLabels>,
    flag: ResponseFlag,
    security: SecurityPolicy,
    request: Option<RequestFacts>,
    overflow: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct WorkloadLabels {
    name: Text,
    canonical_name: Text,
    canonical_revision: Text,
    namespace: Text,
    cluster: Text,
    region: Text,
    zone: Text,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ServiceLabels {
    hostname: Text,
    namespace: Text,
    name: Text,
}

impl WorkloadLabels {
    fn of(workload: &Workload) -> Self {
        let [name, canonical_name, canonical_revision, namespace, cluster, region, zone] =
            workload_texts(workload).map(Clone::clone);
        Self { name, canonical_name, canonical_revision, namespace, cluster, region, zone }
    }

    fn is(&self, workload: &Workload) -> bool {
        let own = [
            &self.name,
            &self.canonical_name,
            &self.canonical_revision,
            &self.namespace,
            &self.cluster,
            &self.region,
            &self.zone,
        ];
        own.into_iter().zip(workload_texts(workload)).all(|(one, other)| same(one, other))
    }
}

impl ServiceLabels {
    fn of(service: &Service) -> Self {
        let [hostname, namespace, name] = service_texts(service).map(Clone::clone);
        Self { hostname, namespace, name }
    }

    fn is(&self, service: &Service) -> bool {
        let own = [&self.hostname, &self.namespace, &self.name];
        own.into_iter().zip(service_texts(service)).all(|(one, other)| same(one, other))
    }
}

fn workload_texts(workload: &Workload) -> [&Text; 7] {
    [
        &workload.workload_name,
        &workload.canonical_name,
        &workload.canonical_revision,
        &workload.namespace,
        &workload.cluster,
        &workload.locality.region,
        &workload.locality.zone,
    ]
}

fn service_texts(service: &Service) -> [&Text; 3] {
    [&service.key.hostname, &service.key.namespace, &service.name]
}

/// Names are shared, so most comparisons end at the pointer.
fn same(one: &Text, other: &Text) -> bool {
    Text::ptr_eq(one, other) || one == other
}

fn agree<T, U: ?Sized>(own: &Option<T>, fact: Option<&U>, is: impl Fn(&T, &U) -> bool) -> bool {
    match (own, fact) {
        (None, None) => true,
        (Some(own), Some(fact)) => is(own, fact),
        _ => false,
    }
}

/// Facts without names.
type Nameless = (Reporter, ResponseFlag, SecurityPolicy, Option<RequestFacts>);

impl TrafficFacts<'_> {
    /// What series agree in where names do not count.
    pub(crate) fn nameless(&self) -> Nameless {
        (self.reporter, self.flag, self.security, self.request)
    }

    /// The same for the overflow series, which must be few: nothing in it is an endpoint's free choice.
    pub(crate) fn coarse(&self) -> Nameless {
        (self.reporter, self.flag, self.security, self.request.map(RequestFacts::coarse))
    }

    /// The same facts of a connection that ended with `flag`.
    pub fn with_flag(self, flag: ResponseFlag) -> Self {
        Self { flag, ..self }
    }
}

impl RequestFacts {
    /// The class of the code stands for the codes in it.
    fn coarse(self) -> Self {
        Self { code: self.code - self.code % 100, grpc_status: None, ..self }
    }

    fn write(&self, label: &mut impl FnMut(&str, &str)) {
        label("request_protocol", if self.protocol == RequestProtocol::Grpc { "grpc" } else { "http" });
        label("response_code", &self.code.to_string());
        if self.protocol == RequestProtocol::Grpc {
            let status = self.grpc_status.map(|status| status.to_string());
            label("grpc_response_status", status.as_deref().unwrap_or(""));
        }
        label("response_flags", &self.flags.to_string());
    }
}

impl Hash for TrafficFacts<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.nameless().hash(state);
        self.source.map(workload_texts).hash(state);
        self.source_identity.hash(state);
        self.destination.map(workload_texts).hash(state);
        self.destination.map(|workload| &workload.identity).hash(state);
        self.service.map(service_texts).hash(state);
    }
}

impl TrafficLabels {
    /// Copies the facts; texts are shared, not copied.
    pub fn new(facts: &TrafficFacts<'_>) -> Self {
        Self {
            reporter: facts.reporter,
            source: facts.source.map(WorkloadLabels::of),
            source_identity: facts.source_identity.cloned(),
            destination: facts.destination.map(WorkloadLabels::of),
            destination_identity: facts.destination.map(|workload| workload.identity.clone()),
            service: facts.service.map(ServiceLabels::of),
            flag: facts.flag,
            security: facts.security,
            request: facts.request,
            overflow: false,
        }
    }

    /// The series that stands for all that the limit leaves no room for: every name is `overflow`.
    pub(crate) fn overflow(facts: &TrafficFacts<'_>) -> Self {
        let request = facts.request.map(RequestFacts::coarse);
        let nameless = TrafficFacts {
            source: None,
            source_identity: None,
            destination: None,
            service: None,
            request,
            ..*facts
        };
        Self { overflow: true, ..Self::new(&nameless) }
    }

    fn nameless(&self) -> Nameless {
        (self.reporter, self.flag, self.security, self.request)
    }

    /// Whether requests are counted.
    pub(crate) fn counts_requests(&self) -> bool {
        self.request.is_some()
    }

    pub(crate) fn is_overflow(&self) -> bool {
        self.overflow
    }

    /// Whether these are the labels of the facts.
    pub(crate) fn are(&self, facts: &TrafficFacts<'_>) -> bool {
        !self.overflow
            && self.nameless() == facts.nameless()
            && agree(&self.source, facts.source, WorkloadLabels::is)
            && self.source_identity.as_ref() == facts.source_identity
            && agree(&self.destination, facts.destination, WorkloadLabels::is)
            && self.destination_identity.as_ref() == facts.destination.map(|workload| &workload.identity)
            && agree(&self.service, facts.service, ServiceLabels::is)
    }

    /// Whether these are the overflow labels of the facts.
    pub(crate) fn are_overflow(&self, facts: &TrafficFacts<'_>) -> bool {
        self.overflow && self.nameless() == facts.coarse()
    }

    /// Writes `name="value"` pairs in Istio's order, separated by commas.
    pub fn write(&self, out: &mut String) {
        let missing = if self.overflow { OVERFLOW } else { UNKNOWN };
        let mut label = |name: &str, value: &str| {
            write_label(out, name, if value.is_empty() { missing } else { value });
        };
        label("reporter", self.reporter.as_str());
        write_workload(&mut label, &SOURCE, self.source.as_ref(), self.source_identity.as_ref(), true);
        let service = self.service.as_ref();
        label("destination_service", service.map_or("", |service| &service.hostname));
        label("destination_service_namespace", service.map_or("", |service| &service.namespace));
        label("destination_service_name", service.map_or("", |service| &service.name));
        write_workload(
            &mut label,
            &DESTINATION,
            self.destination.as_ref(),
            self.destination_identity.as_ref(),
            false,
        );
        match &self.request {
            None => {
                label("request_protocol", "tcp");
                label("response_flags", self.flag.as_str());
            }
            Some(request) => request.write(&mut label),
        }
        label("connection_security_policy", self.security.as_str());
        label("source_region", self.source.as_ref().map_or("", |workload| &workload.region));
        label("source_zone", self.source.as_ref().map_or("", |workload| &workload.zone));
        label("destination_region", self.destination.as_ref().map_or("", |workload| &workload.region));
        label("destination_zone", self.destination.as_ref().map_or("", |workload| &workload.zone));
    }
}

/// The names of one end's eight labels, in Istio's order.
type WorkloadLabelNames = [&'static str; 8];

const SOURCE: WorkloadLabelNames = [
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
];

const DESTINATION: WorkloadLabelNames = [
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
];

/// `proved`: the identity comes from a certificate, so its namespace is true even where the workload is not known.
fn write_workload(
    label: &mut impl FnMut(&str, &str),
    names: &WorkloadLabelNames,
    workload: Option<&WorkloadLabels>,
    identity: Option<&Identity>,
    proved: bool,
) {
    let principal = identity.map(ToString::to_string);
    let namespace = match (workload, identity) {
        (Some(workload), _) => &*workload.namespace,
        (None, Some(identity)) if proved => identity.namespace(),
        _ => "",
    };
    let (canonical_name, canonical_revision) =
        workload.map_or(("", ""), |workload| (&*workload.canonical_name, &*workload.canonical_revision));
    let values = [
        workload.map_or("", |workload| &workload.name),
        canonical_name,
        canonical_revision,
        namespace,
        principal.as_deref().unwrap_or(""),
        canonical_name,
        canonical_revision,
        workload.map_or("", |workload| &workload.cluster),
    ];
    for (name, value) in names.iter().zip(values) {
        label(name, value);
    }
}
