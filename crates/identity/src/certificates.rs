//! The certificates of this node's identities: one per identity, shared by its pods, always fresh.

mod entry;
mod fetch;
mod hold;
mod refresh;
mod schedule;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_model::Identity;
use parking_lot::RwLock;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use crate::verify::TrustBundles;
use crate::{Certificate, CertificateSource, Clock, Provider};

use entry::Entry;
pub use fetch::FetchError;
pub use hold::Hold;

/// How certificates are asked for.
#[derive(Debug, Clone)]
pub struct CertificatesSettings {
    /// Lifetime asked for (Istio `SECRET_TTL`, 24 h); the issuer may shorten it.
    pub lifetime: Duration,
    /// Most requests to the issuer at a time.
    pub max_in_flight: usize,
    /// After this long an unanswered request counts as failed.
    pub attempt_timeout: Duration,
    /// Where keys are made.
    pub provider: Provider,
    /// The wall clock.
    pub clock: Clock,
}

impl Default for CertificatesSettings {
    /// 24 hours, 8 requests at a time, 10 s each, the default provider, the machine's clock.
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(24 * 3600),
            max_in_flight: 8,
            attempt_timeout: Duration::from_secs(10),
            provider: Provider::default(),
            clock: Clock::system(),
        }
    }
}

/// The store of certificates. Cheap to clone, usable from any thread and runtime.
///
/// Each identity that somebody holds has one task, on the runtime where the store was made: it gets the first
/// certificate, a new one with a new key at half of each one's remaining life (±10 %), and after a failure tries again
/// after 0.5 s, doubling to 150 s (±20 %). The old certificate serves until it ends, and never after. When the last holder
/// is gone the identity is forgotten.
#[derive(Clone)]
pub struct Certificates {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    shared: Arc<Shared>,
    slots: RwLock<HashMap<Identity, Slot>>,
}

/// What the tasks need.
struct Shared {
    source: Arc<dyn CertificateSource>,
    settings: CertificatesSettings,
    in_flight: Semaphore,
    bundles: TrustBundles,
}

struct Slot {
    entry: Arc<Entry>,
    holds: usize,
    task: AbortHandle,
}

/// One identity as `config_dump` shows it.
#[derive(Debug, Clone)]
pub struct CertificateEntry {
    /// Whose certificate.
    pub identity: Identity,
    /// How it is.
    pub state: CertificateState,
    /// The certificate in use, if there is one that has not ended.
    pub certificate: Option<Arc<Certificate>>,
    /// How many hold it.
    pub holds: usize,
    /// When the issuer will be asked next, unless it is being asked now.
    pub next_attempt: Option<SystemTime>,
}

/// The state of an identity's certificate, displayed as Istio's ztunnel does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateState {
    /// The first one has been asked for.
    Initializing,
    /// One is in use. If the last refresh failed, why.
    Available {
        /// The failure of the last refresh.
        refresh_error: Option<FetchError>,
    },
    /// None is in use: it could not be had, or could not be renewed in time.
    Unavailable(FetchError),
}

impl fmt::Display for CertificateState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initializing => f.write_str("Initializing"),
            Self::Available { .. } => f.write_str("Available"),
            Self::Unavailable(error) => write!(f, "Unavailable: {error}"),
        }
    }
}

impl Certificates {
    /// An empty store over `source`. Its tasks run on the current tokio runtime, so it must be called inside one.
    pub fn new(source: Arc<dyn CertificateSource>, settings: CertificatesSettings) -> Self {
        let in_flight = Semaphore::new(settings.max_in_flight.max(1));
        let shared = Arc::new(Shared { source, settings, in_flight, bundles: TrustBundles::default() });
        Self { inner: Arc::new(Inner { runtime: Handle::current(), shared, slots: RwLock::default() }) }
    }

    /// Holds an identity: its certificate is fetched and kept fresh until the last hold is dropped. Returns at once.
    pub fn hold(&self, identity: &Identity) -> Hold {
        let mut slots = self.inner.slots.write();
        if let Some(slot) = slots.get_mut(identity) {
            slot.holds += 1;
            return Hold::new(self.inner.clone(), slot.entry.clone());
        }
        let (entry, work) = Entry::new(identity.clone(), self.inner.shared.settings.clock.clone());
        let work = refresh::keep_fresh(self.inner.shared.clone(), work);
        let task = self.inner.runtime.spawn(work).abort_handle();
        slots.insert(identity.clone(), Slot { entry: entry.clone(), holds: 1, task });
        Hold::new(self.inner.clone(), entry)
    }

    /// The identity's certificate, asked for if nobody holds it yet. Waits for the first answer, and fails with the
    /// reason of the last failure while there is none. Only a [`Hold`] keeps it afterwards.
    pub async fn certificate(&self, identity: &Identity) -> Result<Arc<Certificate>, FetchError> {
        self.hold(identity).certificate().await
    }

    /// The certificate now in use, if the identity is held and has one that has not ended. Never waits.
    pub fn current(&self, identity: &Identity) -> Option<Arc<Certificate>> {
        self.inner.slots.read().get(identity)?.entry.current()
    }

    /// Everything held, sorted by identity, for `config_dump`.
    pub fn entries(&self) -> Vec<CertificateEntry> {
        let slots = self.inner.slots.read();
        let mut list: Vec<_> = slots.values().map(|slot| slot.entry.describe(slot.holds)).collect();
        list.sort_unstable_by(|one, other| one.identity.cmp(&other.identity));
        list
    }
}

impl Inner {
    /// The end of one hold.
    fn release(&self, identity: &Identity) {
        let mut slots = self.slots.write();
        let Some(slot) = slots.get_mut(identity) else { return };
        slot.holds = slot.holds.saturating_sub(1);
        if slot.holds == 0 {
            slot.task.abort();
            slots.remove(identity);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        for slot in self.slots.get_mut().values() {
            slot.task.abort();
        }
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificates({} identities)", self.inner.slots.read().len())
    }
}
