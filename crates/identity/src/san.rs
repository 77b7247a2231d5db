//! The one SPIFFE identity in a certificate.

use ambit_model::Identity;
use ambit_model::identity::InvalidIdentity;
use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

/// Why a certificate names no identity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SanRefusal {
    /// Not an X.509 certificate.
    #[error("the certificate cannot be parsed")]
    Malformed,
    /// X509-SVID section 2 wants exactly one; a certificate with several would let its holder choose.
    #[error("the certificate has {0} URI names, and must have exactly one: its SPIFFE ID")]
    Count(usize),
    /// A NUL or another byte that no URI has.
    #[error("the certificate's URI name holds a control character")]
    ControlCharacter,
    /// A URI of another form.
    #[error("the certificate's URI name is not accepted: {0}")]
    Invalid(#[from] InvalidIdentity),
}

/// The identity of a certificate: its only URI name. Names of other kinds are ignored.
pub(crate) fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, SanRefusal> {
    identity_in(&parse(certificate)?)
}

/// Parses a certificate, refusing anything after it.
pub(crate) fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, SanRefusal> {
    match X509Certificate::from_der(certificate.as_ref()) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(SanRefusal::Malformed),
    }
}

/// See [`identity_of`].
pub(crate) fn identity_in(certificate: &X509Certificate<'_>) -> Result<Identity, SanRefusal> {
    // An error here also means that the extension is there twice.
    let names = certificate.subject_alternative_name().map_err(|_| SanRefusal::Malformed)?;
    identity_among(names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default())
}

/// The identity in a list of names: the only URI.
pub(crate) fn identity_among(names: &[GeneralName<'_>]) -> Result<Identity, SanRefusal> {
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return Err(SanRefusal::Malformed);
    }
    let uris: Vec<&str> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        })
        .collect();
    match uris.as_slice() {
        [uri] if uri.chars().any(char::is_control) => Err(SanRefusal::ControlCharacter),
        [uri] => Ok(uri.parse()?),
        _ => Err(SanRefusal::Count(uris.len())),
    }
}
