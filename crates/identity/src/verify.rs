//! Whether a peer's certificate proves an identity of this mesh. Applied by rustls during each handshake.

mod client;
mod server;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use ambit_model::Identity;
use parking_lot::Mutex;
use rustls::{CertificateError, OtherError};
use rustls_pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage};

use crate::Provider;
use crate::public_key::PublicKey;
use crate::san::{SanRefusal, identity_in, parse};

pub(crate) use client::ServerIdentity;
pub(crate) use server::ClientIdentity;

/// Most certificates a peer may send besides its own; each costs a signature check.
const MOST_INTERMEDIATES: usize = 5;

/// Why a peer's certificate was refused. The peer's fault, or its issuer's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefusal {
    /// The date is past the certificate's end, or an issuer's.
    #[error("the peer's certificate has expired: check its rotation and both clocks")]
    Expired,
    /// The date is before the certificate's start, or an issuer's.
    #[error("the peer's certificate is not valid yet: check both clocks")]
    NotYetValid,
    /// No chain to a trusted root.
    #[error(
        "the peer's certificate was not issued by a root in our trust bundle: check that both use the same CA"
    )]
    UnknownIssuer,
    /// Its key is too weak or of a kind that the mesh does not use.
    #[error("the peer's certificate is refused: {0}")]
    Key(String),
    /// The extended key usage forbids this use.
    #[error(
        "the peer's certificate is not meant for {0}: it must be issued for server and client authentication"
    )]
    Usage(&'static str),
    /// More certificates than any real chain has.
    #[error("the peer sent {0} intermediate certificates: at most {MOST_INTERMEDIATES} are accepted")]
    LongChain(usize),
    /// Any other failure of path building (RFC 5280 section 6).
    #[error("the peer's certificate chain is not valid: {0}")]
    Chain(String),
    /// It proves no identity.
    #[error("{0}")]
    Name(#[from] SanRefusal),
    /// It is from another trust domain.
    #[error("the peer is {identity}, outside our trust domain {own}")]
    TrustDomain {
        /// Who it proved to be.
        identity: Identity,
        /// Our trust domain.
        own: String,
    },
    /// It is not the one we meant to reach.
    #[error("the peer is {identity}, but we expected {expected}")]
    Unexpected {
        /// Who it proved to be.
        identity: Identity,
        /// Whom we dialled.
        expected: crate::ExpectedPeers,
    },
}

impl PeerRefusal {
    /// As rustls carries it through the handshake; it also chooses the alert that the peer sees.
    fn into_tls(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(match self {
            Self::Expired => CertificateError::Expired,
            Self::NotYetValid => CertificateError::NotValidYet,
            Self::UnknownIssuer => CertificateError::UnknownIssuer,
            other => CertificateError::Other(OtherError(Arc::new(other))),
        })
    }

    /// The reverse of `into_tls`.
    pub(crate) fn from_tls(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired,
            CertificateError::NotValidYet => Self::NotYetValid,
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Other(OtherError(inner)) => {
                inner.downcast_ref().cloned().unwrap_or_else(|| Self::Chain(inner.to_string()))
            }
            other => Self::Chain(other.to_string()),
        }
    }
}

/// The trust bundle and the algorithms to check a chain with; shared by all configurations of a certificate, and by the
/// certificates that came with the same roots.
#[derive(Debug)]
pub(crate) struct TrustBundle {
    roots: Box<[CertificateDer<'static>]>,
    anchors: Vec<TrustAnchor<'static>>,
    provider: Provider,
}

impl TrustBundle {
    /// The roots as anchors; `None` when one of them is no certificate.
    pub(crate) fn new(provider: Provider, roots: Vec<CertificateDer<'static>>) -> Option<Self> {
        let anchor = |root| webpki::anchor_from_trusted_cert(root).ok().map(|anchor| anchor.to_owned());
        let anchors = roots.iter().map(anchor).collect::<Option<_>>()?;
        Some(Self { roots: roots.into(), anchors, provider })
    }

    /// The roots as they came.
    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    fn algorithms(&self) -> rustls::crypto::WebPkiSupportedAlgorithms {
        self.provider.crypto().signature_verification_algorithms
    }

    /// The identity that the chain proves at `now` for `purpose`.
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        purpose: Purpose,
    ) -> Result<Identity, PeerRefusal> {
        if intermediates.len() > MOST_INTERMEDIATES {
            return Err(PeerRefusal::LongChain(intermediates.len()));
        }
        let all: &[&dyn SignatureVerificationAlgorithm] = self.algorithms().all;
        EndEntityCert::try_from(end_entity)
            .and_then(|leaf| {
                leaf.verify_for_usage(all, &self.anchors, intermediates, now, purpose.usage(), None, None)
                    .map(drop)
            })
            .map_err(|error| refusal(&error, purpose))?;
        let leaf = parse(end_entity)?;
        PublicKey::from_parsed(leaf.public_key()).map_err(|refusal| PeerRefusal::Key(refusal.to_string()))?;
        Ok(identity_in(&leaf)?)
    }
}

/// Makes equal trust bundles one value: the certificates of a node come from one CA, with the same roots.
#[derive(Debug, Default)]
pub(crate) struct TrustBundles(Mutex<Weak<TrustBundle>>);

impl TrustBundles {
    /// A bundle of exactly these roots, in this order, for this provider: the last one, if it is equal and in use.
    /// `None` when one of them is no certificate.
    pub(crate) fn of(
        &self,
        provider: Provider,
        roots: Vec<CertificateDer<'static>>,
    ) -> Option<Arc<TrustBundle>> {
        let mut last = self.0.lock();
        let equal = |bundle: &Arc<TrustBundle>| bundle.provider == provider && *bundle.roots == *roots;
        if let Some(bundle) = last.upgrade().filter(equal) {
            return Some(bundle);
        }
        let bundle = Arc::new(TrustBundle::new(provider, roots)?);
        *last = Arc::downgrade(&bundle);
        Some(bundle)
    }
}

#[derive(Debug, Clone, Copy)]
enum Purpose {
    Server,
    Client,
}

impl Purpose {
    fn usage(self) -> KeyUsage {
        match self {
            Self::Server => KeyUsage::server_auth(),
            Self::Client => KeyUsage::client_auth(),
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Server => "server authentication",
            Self::Client => "client authentication",
        }
    }
}

fn refusal(error: &webpki::Error, purpose: Purpose) -> PeerRefusal {
    match error {
        webpki::Error::CertExpired { .. } => PeerRefusal::Expired,
        webpki::Error::CertNotValidYet { .. } => PeerRefusal::NotYetValid,
        // A root of the same name as ours with another key: a CA that was made anew.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            PeerRefusal::UnknownIssuer
        }
        webpki::Error::RequiredEkuNotFoundContext(_) => PeerRefusal::Usage(purpose.text()),
        webpki::Error::BadDer | webpki::Error::BadDerTime => PeerRefusal::Name(SanRefusal::Malformed),
        other => PeerRefusal::Chain(other.to_string()),
    }
}
