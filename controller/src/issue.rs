//! `IstioCertificateService`: certificates for pods that live on the asking node, or for the asking workload itself, and
//! for nobody else.

mod rate;
mod request;

use std::sync::Arc;
use std::time::Duration;

use ambit_identity::authority::SignError;
use ambit_identity::csr::{CsrRefusal, csr_identity};
use ambit_identity::{Authority, Clock};
use ambit_model::Identity;
use ambit_proto::istio::auth::istio_certificate_service_server::IstioCertificateService;
use ambit_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

use crate::discovery::Gate;
use crate::metrics::Metrics;
use crate::publish::InForce;
use crate::tokens::Caller;
use rate::Rates;

/// How long a pod that is just appearing is waited for.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// Lifetime of certificates whose asker names none, as Istio's.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// The key of the asked identity in the request's metadata.
const IMPERSONATED_IDENTITY: &str = "ImpersonatedIdentity";

/// The service.
#[derive(Debug)]
pub struct Issuer {
    gate: Gate,
    authority: Arc<Authority>,
    trust_domain: String,
    longest: Duration,
    in_force: watch::Receiver<Option<InForce>>,
    clock: Clock,
    rates: Rates,
    metrics: Metrics,
}

/// Why no certificate is issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No identity in the metadata.
    #[error("the request's metadata names no ImpersonatedIdentity; send the SPIFFE ID of the pod there")]
    NoIdentity,
    /// Not an identity.
    #[error("the asked identity is not accepted: {0}")]
    Identity(String),
    /// Somebody else's.
    #[error("the identity {identity} is of another trust domain: this mesh's is {ours}")]
    TrustDomain {
        /// What was asked for.
        identity: Identity,
        /// The mesh's own.
        ours: String,
    },
    /// No such pod there.
    #[error(
        "no live pod with the identity {identity} is {place}; only pods that are Pending or Running there have one"
    )]
    NotResident {
        /// What was asked for.
        identity: Identity,
        /// Where its pods would have to be.
        place: String,
    },
    /// A workload asks for another.
    #[error("the token is for {caller}, which gets certificates for itself only, not for {identity}")]
    NotItself {
        /// What was asked for.
        identity: Identity,
        /// Who asked.
        caller: Caller,
    },
    /// The key's request is for another identity.
    #[error("the certificate request is for {requested}, but the asked identity is {identity}")]
    OtherName {
        /// In the certificate request.
        requested: Identity,
        /// In the metadata.
        identity: Identity,
    },
    /// The certificate request cannot be used.
    #[error(transparent)]
    Csr(#[from] CsrRefusal),
    /// Too many.
    #[error("{0} asks for too many certificates; ask again in a second")]
    Rate(Caller),
    /// Nothing is known about pods.
    #[error("no valid configuration yet; the controller's log says what is wrong")]
    NoConfiguration,
    /// Our own fault.
    #[error(transparent)]
    Sign(SignError),
}

/// What the service needs.
#[derive(Debug)]
pub struct IssuerSettings {
    /// Signs.
    pub authority: Arc<Authority>,
    /// The only trust domain that is signed for.
    pub trust_domain: String,
    /// Longest lifetime.
    pub longest: Duration,
    /// Tells the time.
    pub clock: Clock,
}

impl Issuer {
    /// A service for callers that pass `gate`.
    pub fn new(
        settings: IssuerSettings,
        gate: Gate,
        in_force: watch::Receiver<Option<InForce>>,
        metrics: Metrics,
    ) -> Self {
        Self {
            gate,
            authority: settings.authority,
            trust_domain: settings.trust_domain,
            longest: settings.longest,
            in_force,
            clock: settings.clock,
            rates: Rates::default(),
            metrics,
        }
    }

    /// Decides and signs. The lifetime is what was asked for, clamped.
    async fn issue(
        &self,
        caller: &Caller,
        request: &IstioCertificateRequest,
    ) -> Result<(Identity, Duration, Vec<String>), Refusal> {
        if !self.rates.take(caller) {
            return Err(Refusal::Rate(caller.clone()));
        }
        let identity = self.asked(caller, request)?;
        if **identity.trust_domain() != *self.trust_domain {
            return Err(Refusal::TrustDomain { identity, ours: self.trust_domain.clone() });
        }
        named(&request.csr, &identity)?;
        self.resident(caller, &identity).await?;
        let lifetime = self.lifetime(request.validity_duration);
        let chain = self.authority.sign(&request.csr, &identity, lifetime, self.clock.now());
        match chain {
            Ok(chain) => Ok((identity, lifetime, chain)),
            Err(SignError::Request(refusal)) => Err(refusal.into()),
            Err(error) => Err(Refusal::Sign(error)),
        }
    }

    fn lifetime(&self, seconds: i64) -> Duration {
        let asked = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs);
        asked.unwrap_or(DEFAULT_LIFETIME).min(self.longest)
    }

    /// The identity that a caller asks for. A node names one of its pods; a workload may leave out its own.
    fn asked(&self, caller: &Caller, request: &IstioCertificateRequest) -> Result<Identity, Refusal> {
        let Caller::Workload(workload) = caller else { return asked(request) };
        let own = Identity::new(&self.trust_domain, workload.namespace(), workload.service_account())
            .map_err(|error| Refusal::Identity(error.to_string()))?;
        match asked(request) {
            Ok(identity) if identity == own => Ok(own),
            Ok(identity) => Err(Refusal::NotItself { identity, caller: caller.clone() }),
            Err(Refusal::NoIdentity) => Ok(own),
            Err(refusal) => Err(refusal),
        }
    }

    /// Waits until a pod of this identity is where the caller's pods are, for a pod that is known there before it is known
    /// here.
    async fn resident(&self, caller: &Caller, identity: &Identity) -> Result<(), Refusal> {
        let mut in_force = self.in_force.clone();
        let (namespace, account) = (identity.namespace(), identity.service_account());
        let node = match caller {
            Caller::Node(node) => Some(node),
            Caller::Workload(workload) => workload.node(),
        };
        let lives = |now: &Option<InForce>| {
            now.as_ref().is_some_and(|now| match node {
                Some(node) => now.lives_on(node, namespace, account),
                None => now.lives(namespace, account),
            })
        };
        match tokio::time::timeout(PATIENCE, in_force.wait_for(lives)).await {
            Ok(Ok(_)) => Ok(()),
            _ if self.in_force.borrow().is_none() => Err(Refusal::NoConfiguration),
            _ => {
                let place = node.map_or_else(|| "on any node".to_owned(), |node| format!("on node {node}"));
                Err(Refusal::NotResident { identity: identity.clone(), place })
            }
        }
    }
}

fn asked(request: &IstioCertificateRequest) -> Result<Identity, Refusal> {
    let fields = request.metadata.as_ref().map(|metadata| &metadata.fields).ok_or(Refusal::NoIdentity)?;
    match fields.get(IMPERSONATED_IDENTITY).and_then(|value| value.kind.as_ref()) {
        Some(prost_types::value::Kind::StringValue(text)) => {
            text.parse().map_err(|error| Refusal::Identity(format!("{error}")))
        }
        _ => Err(Refusal::NoIdentity),
    }
}

/// A certificate request may leave out the name, but not have another.
fn named(csr: &str, identity: &Identity) -> Result<(), Refusal> {
    match csr_identity(csr) {
        Ok(requested) if requested == *identity => Ok(()),
        Ok(requested) => Err(Refusal::OtherName { requested, identity: identity.clone() }),
        Err(CsrRefusal::Name(_)) if request::names_nothing(csr) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

impl Refusal {
    fn status(&self) -> Status {
        let message = self.to_string();
        match self {
            Self::NoIdentity | Self::Identity(_) | Self::Csr(_) => Status::invalid_argument(message),
            Self::TrustDomain { .. }
            | Self::NotResident { .. }
            | Self::NotItself { .. }
            | Self::OtherName { .. } => Status::permission_denied(message),
            Self::Rate(_) => Status::resource_exhausted(message),
            Self::NoConfiguration => Status::unavailable(message),
            Self::Sign(_) => Status::internal(message),
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::NoIdentity | Self::Identity(_) => "identity",
            Self::TrustDomain { .. } => "trust_domain",
            Self::NotResident { .. } => "not_resident",
            Self::NotItself { .. } => "not_itself",
            Self::OtherName { .. } => "other_name",
            Self::Csr(_) => "csr",
            Self::Rate(_) => "rate",
            Self::NoConfiguration => "no_configuration",
            Self::Sign(_) => "sign",
        }
    }
}

#[tonic::async_trait]
impl IstioCertificateService for Issuer {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let caller = self.gate.call(request.metadata(), "CreateCertificate")?;
        match self.issue(&caller, request.get_ref()).await {
            Ok((identity, lifetime, cert_chain)) => {
                self.metrics.certificates_issued.increment();
                let seconds = lifetime.as_secs();
                tracing::info!(target: "audit", %caller, %identity, seconds, "certificate issued");
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(refusal) => {
                self.metrics.certificates_refused.with([refusal.word()]).increment();
                tracing::warn!(target: "audit", %caller, reason = %refusal, "certificate refused");
                Err(refusal.status())
            }
        }
    }
}
