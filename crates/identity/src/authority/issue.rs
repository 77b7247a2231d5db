//! What the authority's certificates say.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use rand::RngExt as _;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyUsagePurpose,
    SanType, SerialNumber,
};
use rustls_pki_types::{CertificateDer, DnsName};

use super::{Authority, CLOCK_SKEW, SignError};
use crate::public_key::{KeyKind, PublicKey};

impl Authority {
    pub(super) fn issue_workload(
        &self,
        key: &PublicKey,
        identity: &Identity,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, SignError> {
        let uri = identity.to_string().as_str().try_into().map_err(signing)?;
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(key, vec![SanType::URI(uri)], usages, lifetime, now)
    }

    /// A server's certificate for DNS names and addresses, then the intermediates.
    pub(crate) fn issue_serving(
        &self,
        key: &PublicKey,
        names: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Vec<CertificateDer<'static>>, SignError> {
        let names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        let leaf = self.issue(key, names, vec![ExtendedKeyUsagePurpose::ServerAuth], lifetime, now)?;
        Ok(std::iter::once(leaf).chain(self.chain.iter().cloned()).collect())
    }

    fn issue(
        &self,
        key: &PublicKey,
        names: Vec<SanType>,
        usages: Vec<ExtendedKeyUsagePurpose>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<CertificateDer<'static>, SignError> {
        if lifetime < Duration::from_secs(1) {
            return Err(SignError::Lifetime);
        }
        if now >= self.not_after {
            return Err(SignError::Expired);
        }
        let asked_end = now.checked_add(lifetime).unwrap_or(self.not_after);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = names;
        params.serial_number = Some(random_serial());
        params.not_before = (now - backdating(lifetime)).into();
        params.not_after = asked_end.min(self.not_after).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if key.kind() == KeyKind::Rsa {
            params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
        }
        params.extended_key_usages = usages;
        params.key_identifier_method = KeyIdMethod::PreSpecified(key.identifier());
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer).map_err(signing)?.der().clone())
    }
}

/// A positive serial number of 127 random bits (RFC 5280 section 4.1.2.2 allows up to 20 bytes).
/// How far before its issue a certificate begins: [`CLOCK_SKEW`], but so little of a short life that its middle, where
/// Istio's ztunnel asks for the next, is still to come.
fn backdating(lifetime: Duration) -> Duration {
    CLOCK_SKEW.min(lifetime / 4)
}

pub(super) fn random_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::rng().random();
    // Positive, and never shortened by a leading zero byte.
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn server_name(name: &str) -> Result<SanType, SignError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refuse = || SignError::Name(name.to_owned());
    DnsName::try_from(name).map_err(|_| refuse())?;
    Ok(SanType::DnsName(name.try_into().map_err(|_| refuse())?))
}

fn signing(error: rcgen::Error) -> SignError {
    SignError::Signing(error.to_string())
}
