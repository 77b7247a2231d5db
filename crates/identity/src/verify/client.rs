//! The client's check of its server: one of the identities that the destination is known by.

use std::sync::Arc;

use ambit_model::Identity;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{PeerRefusal, Purpose, TrustBundle};
use crate::ExpectedPeers;

/// Ignores the server name: who answers is decided by the identity alone. The trust domain is part of each expected
/// identity, so a foreign one is accepted only where it was named.
#[derive(Debug)]
pub(crate) struct ServerIdentity {
    pub(crate) bundle: Arc<TrustBundle>,
    pub(crate) expected: ExpectedPeers,
}

impl ServerIdentity {
    /// Whom the server's chain proves.
    pub(crate) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, PeerRefusal> {
        let identity = self.bundle.verify(end_entity, intermediates, now, Purpose::Server)?;
        if !self.expected.contains(&identity) {
            return Err(PeerRefusal::Unexpected { identity, expected: self.expected.clone() });
        }
        Ok(identity)
    }
}

impl ServerCertVerifier for ServerIdentity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates, now).map_err(PeerRefusal::into_tls)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.bundle.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.bundle.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.bundle.algorithms().supported_schemes()
    }
}
