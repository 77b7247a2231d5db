//! PEM in and out, bounded (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

/// Longest text read: a bundle of some hundred roots.
const LONGEST: usize = 1 << 20;

/// Why a text gave no certificates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PemRefusal {
    #[error("it is longer than 1 MiB")]
    TooLong,
    #[error("it holds a PEM block that cannot be read")]
    Malformed,
    #[error("it holds no BEGIN CERTIFICATE block")]
    Empty,
}

/// All certificates of a text; at least one. Blocks with other labels are skipped.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, PemRefusal> {
    if text.len() > LONGEST {
        return Err(PemRefusal::TooLong);
    }
    let list: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match list {
        Ok(list) if list.is_empty() => Err(PemRefusal::Empty),
        Ok(list) => Ok(list),
        Err(_) => Err(PemRefusal::Malformed),
    }
}

/// One block, lines of 64 characters.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// A certificate as PEM.
pub(crate) fn certificate(der: &CertificateDer<'_>) -> String {
    encode("CERTIFICATE", der)
}

/// A PKCS#8 private key as PEM. The intermediate text is wiped too.
pub(crate) fn private_key(pkcs8: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(pkcs8));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / 64 + 64));
    text.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END PRIVATE KEY-----\n");
    text
}
