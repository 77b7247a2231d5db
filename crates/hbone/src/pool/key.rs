//! Which tunnels may be shared, and who makes them.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::hash::{BuildHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};

use ambit_model::{Identity, Text};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::carrier::Carrier;
use crate::client::H2Error;

/// What two streams must have in common to share a tunnel: the pod they come from with its identity, where they go,
/// and whom they expect there.
///
/// The pod is part of it, so streams of different pods never share a tunnel, even with one service account. A clone
/// costs a reference count; the hash is computed once.
#[derive(Clone)]
pub struct Key {
    parts: Arc<Parts>,
}

struct Parts {
    hash: u64,
    source: Identity,
    pod: Text,
    destination: SocketAddr,
    expected: Arc<[Text]>,
}

impl Key {
    /// A key. `pod` is what makes the source pod unique: its UID. `expected` are the URI SANs of which the peer's
    /// certificate must have one.
    pub fn new(source: Identity, pod: Text, destination: SocketAddr, expected: Arc<[Text]>) -> Self {
        static SEED: LazyLock<foldhash::fast::RandomState> = LazyLock::new(Default::default);
        let hash = SEED.hash_one((&source, &pod, &destination, &expected));
        Self { parts: Arc::new(Parts { hash, source, pod, destination, expected }) }
    }

    /// Whose certificate the tunnel is made with.
    pub fn source(&self) -> &Identity {
        &self.parts.source
    }

    /// The pod's UID.
    pub fn pod(&self) -> &Text {
        &self.parts.pod
    }

    /// The peer's tunnel port.
    pub fn destination(&self) -> SocketAddr {
        self.parts.destination
    }

    /// The URI SANs of which the peer's certificate must have one.
    pub fn expected(&self) -> &Arc<[Text]> {
        &self.parts.expected
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&*self.parts, &*other.parts);
        Arc::ptr_eq(&self.parts, &other.parts)
            || (ours.hash == theirs.hash
                && ours.destination == theirs.destination
                && ours.pod == theirs.pod
                && ours.source == theirs.source
                && ours.expected == theirs.expected)
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.parts.hash);
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("source", &self.parts.source)
            .field("pod", &self.parts.pod)
            .field("destination", &self.parts.destination)
            .field("expected", &self.parts.expected)
            .finish()
    }
}

/// Makes the connections below a pool's tunnels: TCP from inside the pod, and mutual TLS.
pub trait Connector: Send + Sync + 'static {
    /// The connection; see [`crate::client::connect`] about its errors.
    type Io: Carrier + AsyncRead + AsyncWrite + Unpin;

    /// Connects to the key's destination as its source, with the certificate valid now, and checks that the peer is
    /// one of those expected. Must end in bounded time.
    fn connect(&self, key: &Key) -> impl Future<Output = Result<Self::Io, ConnectError>> + Send;
}

/// Why there is no tunnel. Cheap to clone: everyone who waited for it is told the same.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectError {
    /// TCP did not get there.
    #[error("{0}")]
    Dial(#[source] Arc<dyn Error + Send + Sync>),
    /// TLS failed: no trust, or not whom we expect.
    #[error("{0}")]
    Tls(#[source] Arc<dyn Error + Send + Sync>),
    /// There is no certificate to connect with.
    #[error("{0}")]
    Identity(#[source] Arc<dyn Error + Send + Sync>),
    /// HTTP/2 could not be set up.
    #[error(transparent)]
    Http2(#[from] H2Error),
    /// The pool, the pod's tunnels or the process went away meanwhile.
    #[error("connecting was given up: the pod or the proxy is going away")]
    Abandoned,
}

impl ConnectError {
    /// A failed dial.
    pub fn dial(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Dial(Arc::new(error))
    }

    /// A failed TLS handshake.
    pub fn tls(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Tls(Arc::new(error))
    }

    /// A missing certificate.
    pub fn identity(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Identity(Arc::new(error))
    }
}
