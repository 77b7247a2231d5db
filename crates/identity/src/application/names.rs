//! Does an application's certificate have one of the names that a user wants? (RFC 9525, Istio `subjectAltNames`)

use std::sync::Arc;

use ambit_model::Text;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;

use super::chain_verifier;

/// Verifies the certificates of applications.
#[derive(Debug)]
pub(super) struct Names {
    /// `None` accepts any certificate.
    trusted: Option<(Arc<RootCertStore>, Arc<WebPkiServerVerifier>)>,
    /// Any of these; none: the server's name.
    wanted: Vec<Text>,
    crypto: Arc<CryptoProvider>,
}

impl Names {
    pub(super) fn new(
        roots: Option<Arc<RootCertStore>>,
        wanted: &[Text],
        crypto: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let trusted = match roots {
            Some(roots) => Some((roots.clone(), chain_verifier(roots, crypto.clone())?)),
            None => None,
        };
        Ok(Self { trusted, wanted: wanted.to_vec(), crypto })
    }
}

impl ServerCertVerifier for Names {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some((roots, verifier)) = &self.trusted else { return Ok(ServerCertVerified::assertion()) };
        if self.wanted.is_empty() {
            return verifier.verify_server_cert(leaf, intermediates, name, ocsp, now);
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = self.crypto.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        if self.wanted.iter().any(|wanted| is_named(leaf, &parsed, wanted)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signature, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the certificate has this name: a URI in full, or a host or address as a server's name is compared.
fn is_named(leaf: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>, wanted: &str) -> bool {
    if wanted.contains("://") {
        return uris(leaf).iter().any(|uri| uri == wanted);
    }
    ServerName::try_from(wanted.to_owned()).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
}

fn uris(leaf: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}
