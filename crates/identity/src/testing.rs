//! Certificates, right and wrong, and careless peers for the tests of this crate.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, SanType, SerialNumber,
};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::key::Signer;
use crate::verify::TrustBundles;
use crate::{Certificate, KeyPair, Provider, pem};

/// An hour.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// `spiffe://cluster.local/ns/shop/sa/ACCOUNT`.
pub(crate) fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "shop", account).unwrap()
}

/// A URI name, also one that no CA would write.
pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

/// A root that signs anything.
pub(crate) struct Root {
    pub(crate) der: CertificateDer<'static>,
    issuer: Issuer<'static, Signer>,
}

impl Root {
    pub(crate) fn new(provider: Provider) -> Self {
        let signer = Signer(KeyPair::generate(provider).unwrap());
        let mut params = params(SystemTime::now() - HOUR, SystemTime::now() + 24 * HOUR, 1);
        params.distinguished_name.push(DnType::CommonName, "test root");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_identifier_method = KeyIdMethod::PreSpecified(signer.0.public().identifier());
        let der = params.self_signed(&signer).unwrap().der().clone();
        Self { der, issuer: Issuer::new(params, signer) }
    }

    /// A leaf for the key: valid for an hour around now, for clients and servers, named `shop/web`, then changed.
    pub(crate) fn leaf(
        &self,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let mut params = params(SystemTime::now() - HOUR, SystemTime::now() + HOUR, 2);
        params.subject_alt_names = vec![uri(&identity("web").to_string())];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(key.public(), &self.issuer).unwrap().der().clone()
    }

    /// A right certificate for `shop/ACCOUNT` with a new key of `provider`.
    pub(crate) fn certificate(&self, provider: Provider, account: &str) -> Certificate {
        self.certificate_with(provider, provider.crypto(), account)
    }

    /// The same, with another root to trust than the one that issued it.
    pub(crate) fn certificate_trusting(
        &self,
        provider: Provider,
        trusted: &Root,
        account: &str,
    ) -> Certificate {
        self.issue(provider, provider.crypto(), trusted, account)
    }

    /// The same, with other suites or groups.
    pub(crate) fn certificate_with(
        &self,
        provider: Provider,
        crypto: Arc<CryptoProvider>,
        account: &str,
    ) -> Certificate {
        self.issue(provider, crypto, self, account)
    }

    fn issue(
        &self,
        provider: Provider,
        crypto: Arc<CryptoProvider>,
        trusted: &Root,
        account: &str,
    ) -> Certificate {
        let key = KeyPair::generate(provider).unwrap();
        let leaf = self.leaf(&key, |params| {
            params.subject_alt_names = vec![uri(&identity(account).to_string())];
        });
        let chain = [pem::certificate(&leaf), pem::certificate(&trusted.der)];
        let bundles = TrustBundles::default();
        Certificate::sharing(&bundles, crypto, &chain, &key, &identity(account), SystemTime::now()).unwrap()
    }
}

fn params(not_before: SystemTime, not_after: SystemTime, serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.serial_number = Some(SerialNumber::from(serial));
    params.not_before = not_before.into();
    params.not_after = not_after.into();
    params
}

/// A client that believes every server, so that only the server's check is under test.
#[derive(Debug)]
pub(crate) struct Credulous(pub(crate) Arc<CryptoProvider>);

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
