//! What a certificate request leaves out.

use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::ParsedExtension;
use x509_parser::prelude::FromDer as _;

/// Whether it is a request that asks for no name at all; then it is the metadata alone that asks.
pub(super) fn names_nothing(csr_pem: &str) -> bool {
    let Ok((_, block)) = x509_parser::pem::parse_x509_pem(csr_pem.as_bytes()) else { return false };
    let Ok((_, request)) = X509CertificationRequest::from_der(&block.contents) else { return false };
    let mut extensions = request.requested_extensions().into_iter().flatten();
    !extensions.any(|extension| match extension {
        ParsedExtension::SubjectAlternativeName(names) => !names.general_names.is_empty(),
        // Unread, it may be a name.
        ParsedExtension::ParseError { .. } | ParsedExtension::UnsupportedExtension { .. } => true,
        _ => false,
    })
}
