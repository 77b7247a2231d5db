//! The roots that a controller's certificate is verified against.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;

use super::ControlError;
use crate::pem;

/// Where distributions keep the machine's roots.
pub(crate) const SYSTEM_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Whom to trust to name the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCa {
    /// A PEM file, read again at each connect, so that a changed root is picked up.
    File(PathBuf),
    /// PEM text.
    Pem(String),
    /// The machine's own roots, for controllers with a public certificate.
    System,
}

impl RootCa {
    /// Reads the roots now.
    pub(crate) fn load(&self) -> Result<RootCertStore, ControlError> {
        match self {
            Self::Pem(text) => store(Path::new("the given text"), text),
            Self::File(path) => read(path),
            Self::System => {
                let found = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.exists());
                read(found.unwrap_or(Path::new(SYSTEM_BUNDLES[0])))
            }
        }
    }
}

impl fmt::Display for RootCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Pem(_) => f.write_str("the given root certificates"),
            Self::System => f.write_str("this machine's root certificates"),
        }
    }
}

fn read(path: &Path) -> Result<RootCertStore, ControlError> {
    let text = std::fs::read_to_string(path).map_err(|error| ControlError::Roots {
        path: path.to_owned(),
        reason: format!("{error}; copy the controller's root-cert.pem there"),
    })?;
    store(path, &text)
}

fn store(path: &Path, text: &str) -> Result<RootCertStore, ControlError> {
    let refuse = |reason: String| ControlError::Roots { path: path.to_owned(), reason };
    let list = pem::certificates(text)
        .map_err(|refusal| refuse(format!("{refusal}; it must be the controller's root-cert.pem")))?;
    let mut store = RootCertStore::empty();
    let (added, _) = store.add_parsable_certificates(list);
    if added == 0 {
        return Err(refuse(
            "none of its certificates can be a root; use the controller's root-cert.pem".to_owned(),
        ));
    }
    Ok(store)
}
