//! The listeners of this proxy's own Gateway, and which of them a host name belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ambit_identity::OutsideCertificate;
use ambit_model::Text;
use ambit_model::l7::gateway::{Protocol, ServerCertificate};

use super::ServiceRules;

/// One listener, ready for use.
#[derive(Debug)]
pub struct Listener {
    /// Name.
    pub name: Text,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Host name (lower case, `*.` allowed in front); `None` for any.
    pub hostname: Option<Text>,
    /// What applies to its requests.
    pub rules: Arc<ServiceRules>,
    /// What it ends TLS with. A listener that speaks TLS and has none answers no handshake.
    pub certificate: Option<Presented>,
}

/// A certificate, and what it was made of.
#[derive(Debug)]
pub struct Presented {
    written: ServerCertificate,
    /// Ready for use.
    pub certificate: Arc<OutsideCertificate>,
}

/// Those of one Gateway.
#[derive(Debug, Default)]
pub struct Listeners {
    ports: BTreeMap<u16, Vec<Arc<Listener>>>,
}

impl Listeners {
    /// With these, each with its port.
    pub(super) fn new(listeners: impl IntoIterator<Item = (u16, Listener)>) -> Self {
        let mut all = Self::default();
        for (port, listener) in listeners {
            all.ports.entry(port).or_default().push(Arc::new(listener));
        }
        all
    }

    /// The certificate of the listener `name`: as it was here, if it is the same.
    pub(super) fn present(&self, name: &Text, written: &[ServerCertificate]) -> Option<Presented> {
        let written = written.first()?;
        let same = |listener: &&Arc<Listener>| {
            listener.name == *name && listener.certificate.as_ref().is_some_and(|one| one.written == *written)
        };
        let known = self.iter().map(|(_, listener)| listener).find(same);
        if let Some(known) = known.and_then(|listener| listener.certificate.as_ref()) {
            return Some(Presented { written: written.clone(), certificate: known.certificate.clone() });
        }
        match OutsideCertificate::from_pem(&written.chain, &written.key.0) {
            Ok(certificate) => {
                tracing::info!(listener = %name, fingerprint = %certificate.fingerprint(), "certificate in force");
                Some(Presented { written: written.clone(), certificate: certificate.into() })
            }
            Err(error) => {
                tracing::error!(listener = %name, %error, "listener is not served: its handshakes are refused");
                None
            }
        }
    }

    /// All of them, each with its port.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &Arc<Listener>)> {
        self.ports.iter().flat_map(|(port, listeners)| listeners.iter().map(|listener| (*port, listener)))
    }

    /// The ports to listen on.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.ports.keys().copied().collect()
    }

    /// What is spoken on a port; `None` where nothing is. Listeners of one port speak the same.
    pub fn protocol(&self, port: u16) -> Option<Protocol> {
        self.ports.get(&port)?.first().map(|listener| listener.protocol)
    }

    /// The listener of a port that a host name (lower case, without port) belongs to: the one that names it, else the
    /// longest wildcard that covers it, else one for any host. None of the others sees its requests, whatever its routes
    /// are (Gateway API, HTTPListenerIsolation).
    pub fn find(&self, port: u16, host: &str) -> Option<&Arc<Listener>> {
        let fitting = self.ports.get(&port)?.iter().filter_map(|listener| {
            let rank = rank(listener.hostname.as_deref(), host)?;
            Some((rank, listener))
        });
        // Of two that are alike the first is kept.
        fitting.rev().max_by_key(|(rank, _)| *rank).map(|(_, listener)| listener)
    }
}

/// How closely a listener's name fits a host: by its length, an exact name before any wildcard; `None` if it does not.
fn rank(name: Option<&str>, host: &str) -> Option<(bool, usize)> {
    let Some(name) = name else { return Some((false, 0)) };
    match name.strip_prefix('*') {
        Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some((false, name.len())),
        None => (name == host).then_some((true, name.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listeners(names: &[Option<&str>]) -> Listeners {
        let listener = |(index, name): (usize, &Option<&str>)| Listener {
            name: index.to_string().into(),
            protocol: Protocol::Http,
            hostname: name.map(Into::into),
            rules: Arc::default(),
            certificate: None,
        };
        Listeners::new(names.iter().enumerate().map(|each| (80, listener(each))))
    }

    #[test]
    fn the_most_specific_listener_has_a_host() {
        let all = listeners(&[None, Some("*.a.com"), Some("*.b.a.com"), Some("x.a.com"), Some("x.a.com")]);
        for (host, listener) in [
            ("x.a.com", "3"),
            ("y.a.com", "1"),
            ("y.z.a.com", "1"),
            ("y.b.a.com", "2"),
            ("b.a.com", "1"),
            ("a.com", "0"),
            ("xa.com", "0"),
            ("", "0"),
        ] {
            assert_eq!(all.find(80, host).map(|found| &*found.name), Some(listener), "{host}");
        }
        assert!(all.find(81, "x.a.com").is_none());
        assert!(listeners(&[Some("*.a.com")]).find(80, "a.com").is_none());
    }
}
