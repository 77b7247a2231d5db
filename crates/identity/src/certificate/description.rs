//! What an operator may see of a certificate.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::time::ASN1Time;

use crate::pem;
use crate::san::parse;

/// The public facts of one certificate, as Istio's `config_dump` lists them (`CertDump`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// The certificate as PEM.
    pub pem: String,
    /// Decimal serial number.
    pub serial: String,
    /// Start of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
}

impl Description {
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let parsed = parse(der).ok()?;
        let (not_before, not_after) = validity(&parsed);
        Some(Self { pem: pem::certificate(der), serial: serial(&parsed), not_before, not_after })
    }
}

pub(crate) fn serial(certificate: &X509Certificate<'_>) -> String {
    certificate.serial.to_string()
}

pub(crate) fn validity(certificate: &X509Certificate<'_>) -> (SystemTime, SystemTime) {
    let validity = certificate.validity();
    (system_time(validity.not_before), system_time(validity.not_after))
}

fn system_time(time: ASN1Time) -> SystemTime {
    match u64::try_from(time.timestamp()) {
        Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
        // Before 1970: as long ago as matters.
        Err(_) => UNIX_EPOCH,
    }
}
