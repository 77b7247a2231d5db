//! The mesh's root in the state directory, and the controller's own serving certificate.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::authority::{CreateError, LoadError, SignError};
use ambit_identity::{Authority, Clock, Provider, ServingCertificate};
use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use crate::metrics::{Metrics, unix};
use crate::state::{Access, StateDirectory, StateError};

/// The root's private key, PEM, mode 0600.
pub const KEY_FILE: &str = "root-key.pem";
/// The root's certificate, PEM, for clients.
pub const CERTIFICATE_FILE: &str = "root-cert.pem";

/// How long a serving certificate is valid; renewed at half of it.
pub const SERVING_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// How soon a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Why there is no authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Files.
    #[error(transparent)]
    State(#[from] StateError),
    /// One of the two files is missing.
    #[error(
        "{} is there but {} is not: restore both from the same backup, or remove both to create a new root (every node then needs its root-cert.pem)",
        present.display(), missing.display()
    )]
    Half {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// They cannot be used.
    #[error("the root in {} cannot be used: {source}", path.display())]
    Load {
        /// The certificate file.
        path: PathBuf,
        /// What is wrong.
        source: LoadError,
    },
    /// A new one cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// No serving certificate.
    #[error("the controller's serving certificate cannot be issued: {0}; correct --server-name")]
    Serving(#[from] SignError),
}

/// Loads the root of the state directory; makes one when there is none.
pub fn load_or_create(
    state: &StateDirectory,
    trust_domain: &str,
    clock: &Clock,
) -> Result<Authority, AuthorityError> {
    let _lock = state.lock_keys()?;
    let key = state.read(KEY_FILE, Access::Private)?.map(Zeroizing::new);
    let certificate = state.read(CERTIFICATE_FILE, Access::Public)?;
    let half = |present: &str, missing: &str| AuthorityError::Half {
        present: state.file(present),
        missing: state.file(missing),
    };
    match (key, certificate) {
        (Some(key), Some(certificate)) => {
            let key = Zeroizing::new(String::from_utf8_lossy(&key).into_owned());
            let certificate = String::from_utf8_lossy(&certificate);
            Authority::load(Provider::default(), &certificate, &key, clock.now())
                .map_err(|source| AuthorityError::Load { path: state.file(CERTIFICATE_FILE), source })
        }
        (Some(_), None) => Err(half(KEY_FILE, CERTIFICATE_FILE)),
        (None, Some(_)) => Err(half(CERTIFICATE_FILE, KEY_FILE)),
        (None, None) => create(state, trust_domain, clock),
    }
}

fn create(state: &StateDirectory, trust_domain: &str, clock: &Clock) -> Result<Authority, AuthorityError> {
    let authority = Authority::create(Provider::default(), trust_domain, "Ambit", clock.now())?;
    state.write(KEY_FILE, Access::Private, authority.private_key_pem().as_bytes())?;
    state.write(CERTIFICATE_FILE, Access::Public, authority.certificate_pem().as_bytes())?;
    let file = state.file(CERTIFICATE_FILE);
    tracing::info!(file = %file.display(), "created a new root; nodes verify the controller by this file");
    Ok(authority)
}

/// The names of the serving certificate: the addresses listened on (for a wildcard, all of this machine), `localhost`
/// with its addresses, `istiod.istio-system.svc`, and those asked for.
pub fn serving_names(listening: &[SocketAddr], asked: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "istiod.istio-system.svc".to_owned()];
    names.extend(["127.0.0.1", "::1"].map(str::to_owned));
    for address in listening {
        match address.ip() {
            ip if ip.is_unspecified() => names.extend(local_addresses().iter().map(IpAddr::to_string)),
            ip => names.push(ip.to_string()),
        }
    }
    names.extend(asked.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn local_addresses() -> Vec<IpAddr> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let address = |interface: nix::ifaddrs::InterfaceAddress| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    interfaces.filter_map(address).collect()
}

/// The serving certificate in use.
#[derive(Debug)]
pub struct Serving {
    authority: Arc<Authority>,
    names: Vec<String>,
    clock: Clock,
    current: ArcSwap<ServingCertificate>,
}

impl Serving {
    /// Issues the first certificate.
    pub fn new(authority: Arc<Authority>, names: Vec<String>, clock: Clock) -> Result<Self, SignError> {
        let first = ServingCertificate::issue(&authority, &names, SERVING_LIFETIME, clock.now())?;
        Ok(Self { authority, names, clock, current: ArcSwap::from_pointee(first) })
    }

    /// The certificate for the next handshake.
    pub fn current(&self) -> Arc<ServingCertificate> {
        self.current.load_full()
    }

    /// Renews for ever: at half of the lifetime, and each minute after a failure. The wall clock decides, looked at
    /// each minute, so that a machine that slept is not late.
    pub async fn renew(&self, metrics: &Metrics) {
        loop {
            tokio::time::sleep(RETRY).await;
            let now = self.clock.now();
            let left = self.current().not_after().duration_since(now).unwrap_or_default();
            if left > SERVING_LIFETIME / 2 {
                continue;
            }
            match ServingCertificate::issue(&self.authority, &self.names, SERVING_LIFETIME, now) {
                Ok(certificate) => {
                    metrics.serving_expiry.set(unix(certificate.not_after()));
                    self.current.store(Arc::new(certificate));
                }
                Err(error) => {
                    tracing::error!(%error, "the serving certificate was not renewed; trying again")
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    use ambit_telemetry::Registry;
    use parking_lot::Mutex;

    #[tokio::test(start_paused = true)]
    async fn the_serving_certificate_is_renewed_at_half_of_its_life() {
        let start = SystemTime::now();
        let time = Arc::new(Mutex::new(start));
        let told = time.clone();
        let clock = Clock::new(move || *told.lock());
        let authority = Authority::create(Provider::default(), "cluster.local", "Ambit", start).unwrap();
        let names = serving_names(&["10.0.0.1:1".parse().unwrap()], &["a.test".to_owned()]);
        let serving = Arc::new(Serving::new(Arc::new(authority), names, clock).unwrap());
        let metrics = Metrics::new(&Registry::new("controller", "test"));
        let (renewing, counting) = (serving.clone(), metrics.clone());
        let renewal = tokio::spawn(async move { renewing.renew(&counting).await });

        let first = serving.current().not_after();
        *time.lock() = start + SERVING_LIFETIME / 2 - RETRY;
        tokio::time::sleep(RETRY * 2).await;
        assert_eq!(serving.current().not_after(), first);
        *time.lock() = start + SERVING_LIFETIME / 2;
        tokio::time::sleep(RETRY * 2).await;
        assert_eq!(serving.current().not_after(), first + SERVING_LIFETIME / 2);
        assert_eq!(metrics.serving_expiry.current(), unix(first + SERVING_LIFETIME / 2));
        renewal.abort();
    }

    #[test]
    fn a_wildcard_stands_for_every_address_of_the_machine() {
        let names = serving_names(&["0.0.0.0:1".parse().unwrap(), "[fd00::1]:1".parse().unwrap()], &[]);
        for name in ["localhost", "istiod.istio-system.svc", "127.0.0.1", "::1", "fd00::1"] {
            assert_eq!(names.iter().filter(|known| *known == name).count(), 1, "{name} in {names:?}");
        }
        assert!(!names.contains(&"0.0.0.0".to_owned()));
    }
}
