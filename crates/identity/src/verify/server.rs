//! The server's check of its client: some workload of our own trust domain.

use std::sync::Arc;

use ambit_model::{Identity, Text};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::{PeerRefusal, Purpose, TrustBundle};

/// Requires a certificate from every client. No names of roots are sent as hints: they would only tell strangers.
#[derive(Debug)]
pub(crate) struct ClientIdentity {
    pub(crate) bundle: Arc<TrustBundle>,
    pub(crate) trust_domain: Text,
}

impl ClientIdentity {
    /// Whom the client's chain proves.
    pub(crate) fn check(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Identity, PeerRefusal> {
        let identity = self.bundle.verify(end_entity, intermediates, now, Purpose::Client)?;
        if *identity.trust_domain() != self.trust_domain {
            return Err(PeerRefusal::TrustDomain { identity, own: self.trust_domain.to_string() });
        }
        Ok(identity)
    }
}

impl ClientCertVerifier for ClientIdentity {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates, now).map_err(PeerRefusal::into_tls)?;
        Ok(ClientCertVerified::assertion())
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
