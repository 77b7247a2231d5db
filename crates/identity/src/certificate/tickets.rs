//! What earlier connections of one certificate left behind, so that the next handshake between the same two needs no
//! signatures: tickets, each good once.
//!
//! The stores belong to one certificate with its trust bundle. When either is replaced, they are gone with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::server::StoresServerSessions;
use rustls_pki_types::ServerName;
use zeroize::Zeroizing;

use crate::ExpectedPeers;

/// Most tickets that each side of a certificate keeps, about a kilobyte each; a full handshake costs a millisecond, so
/// an overflow just empties the store.
const MOST: usize = 128;
/// How long a server takes its tickets back.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The tickets that a server has given out. What is behind a ticket stays here; the ticket itself is only a random name
/// for it, so there is no ticket key that could be stolen, and taking one makes it worthless.
#[derive(Default)]
pub(super) struct Issued(Mutex<HashMap<Vec<u8>, Behind>>);

struct Behind {
    since: Instant,
    session: Zeroizing<Vec<u8>>,
}

impl StoresServerSessions for Issued {
    fn put(&self, ticket: Vec<u8>, session: Vec<u8>) -> bool {
        let mut issued = self.0.lock();
        if issued.len() >= MOST {
            issued.clear();
        }
        issued.insert(ticket, Behind { since: Instant::now(), session: Zeroizing::new(session) });
        true
    }

    /// Nothing is good twice.
    fn get(&self, _: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let behind = self.0.lock().remove(ticket)?;
        (behind.since.elapsed() < LIFETIME).then(|| behind.session.to_vec())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({})", self.0.lock().len())
    }
}

/// The tickets that a client was given: the last one for each address and each set of expected peers.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<(ExpectedPeers, ServerName<'static>), Tls13ClientSessionValue>>);

/// The part of [`Kept`] for one set of expected peers: a ticket got from one of them is never shown where another is
/// expected.
pub(super) struct KeptFor {
    pub(super) kept: Arc<Kept>,
    pub(super) expected: ExpectedPeers,
}

impl ClientSessionStore for KeptFor {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        let mut kept = self.kept.0.lock();
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert((self.expected.clone(), server), ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.kept.0.lock().remove(&(self.expected.clone(), server.clone()))
    }
}

impl fmt::Debug for KeptFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptFor({})", self.expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_there_are_never_too_many() {
        let issued = Issued::default();
        assert!(issued.put(b"name".to_vec(), b"secret".to_vec()));
        assert_eq!(issued.get(b"name"), None);
        assert_eq!(issued.take(b"name"), Some(b"secret".to_vec()));
        assert_eq!(issued.take(b"name"), None);
        for number in 0..1000_u32 {
            issued.put(number.to_be_bytes().to_vec(), Vec::new());
            assert!(issued.0.lock().len() <= MOST);
        }
        assert!(!format!("{issued:?}").contains("secret"));
    }

    #[test]
    fn an_old_ticket_is_not_taken_back() {
        let issued = Issued::default();
        issued.put(b"old".to_vec(), b"secret".to_vec());
        if let Some(long_ago) = Instant::now().checked_sub(LIFETIME) {
            issued.0.lock().get_mut(&b"old"[..]).unwrap().since = long_ago;
            assert_eq!(issued.take(b"old"), None);
        }
    }
}
