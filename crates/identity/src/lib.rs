//! Who a workload is on the wire: keys, certificates, their rotation, and TLS that verifies SPIFFE identities.
//!
//! The only crate that names rustls. Everything else sees byte streams ([`tls::TlsStream`]), identities and errors.
//! Nothing here takes a process-wide default: the crypto provider is a value ([`provider::Provider`]) that travels
//! with each key.

pub mod application;
pub mod authority;
pub mod certificate;
pub mod certificates;
pub mod control;
pub mod csr;
pub mod key;
pub mod outside;
pub mod pair;
pub mod peers;
pub mod provider;
pub mod serving;
pub mod source;
pub mod tls;
pub mod verify;
pub mod web;

mod clock;
mod pem;
mod public_key;
mod san;
#[cfg(test)]
mod testing;

pub use application::ApplicationTls;
pub use authority::Authority;
pub use certificate::Certificate;
pub use certificates::Certificates;
pub use clock::Clock;
pub use control::{ControlChannel, ControlSettings, RootCa};
pub use key::KeyPair;
pub use outside::OutsideCertificate;
pub use pair::verify_pair;
pub use peers::ExpectedPeers;
pub use provider::Provider;
pub use serving::ServingCertificate;
pub use source::{AuthorityClient, CertificateSource};
