//! Making a tunnel: from inside the source pod's namespace, with the source pod's certificate.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};

use ambit_hbone::{ConnectError, Connector, Key, Pool};
use ambit_identity::tls::{self, TlsStream};
use ambit_identity::{Certificate, Certificates, ExpectedPeers};
use ambit_model::Identity;
use parking_lot::Mutex;

use crate::network::Network;
use crate::proxy::{Pods, dial_options};
use crate::settings::Settings;

/// Dials tunnels for the pods of one worker.
pub struct PodDialer<N> {
    network: Arc<N>,
    settings: Arc<Settings>,
    pods: Pods,
    certificates: Certificates,
}

/// The source pod left while a tunnel was made for it.
#[derive(Debug, thiserror::Error)]
#[error("the source pod left the node")]
pub struct PodGone;

impl<N> PodDialer<N> {
    /// A dialer for these pods.
    pub fn new(network: Arc<N>, settings: Arc<Settings>, pods: Pods, certificates: Certificates) -> Self {
        Self { network, settings, pods, certificates }
    }
}

impl<N> fmt::Debug for PodDialer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodDialer").field("pods", &self.pods.lock().len()).finish()
    }
}

impl<N: Network> Connector for PodDialer<N> {
    type Io = TlsStream<N::Stream>;

    async fn connect(&self, key: &Key) -> Result<Self::Io, ConnectError> {
        let pod = self.pods.lock().get(key.pod()).cloned().ok_or_else(|| ConnectError::dial(PodGone))?;
        let certificate = match self.certificates.current(key.source()) {
            Some(certificate) => certificate,
            None => self.certificates.certificate(key.source()).await.map_err(ConnectError::identity)?,
        };
        let options = dial_options(&self.settings);
        let stream =
            self.network.dial(&pod, &options, key.destination()).await.map_err(ConnectError::dial)?;
        let expected = ExpectedPeers::with_names([], key.expected().iter());
        let address = key.destination().ip();
        let (stream, _peer) = tls::connect_with(self.settings.tls, address, stream, &certificate, &expected)
            .await
            .map_err(ConnectError::tls)?;
        Ok(stream)
    }
}

/// The certificates that the tunnels of a worker were made with, so that a rotation is noticed: new connections then
/// go into new tunnels, and the old ones end with their last stream.
#[derive(Debug, Default)]
pub struct Rotation {
    seen: Mutex<HashMap<Identity, Weak<Certificate>>>,
}

impl Rotation {
    /// Lets the pool's tunnels of this identity run out, if its certificate has been replaced since the last call.
    pub fn follow<C: Connector>(&self, identity: &Identity, certificates: &Certificates, tunnels: &Pool<C>) {
        let Some(current) = certificates.current(identity) else { return };
        let mut seen = self.seen.lock();
        match seen.get_mut(identity) {
            Some(known) if std::ptr::eq(known.as_ptr(), Arc::as_ptr(&current)) => {}
            Some(known) => {
                *known = Arc::downgrade(&current);
                tunnels.drain(|key| key.source() == identity);
            }
            None => {
                seen.insert(identity.clone(), Arc::downgrade(&current));
            }
        }
    }

    /// Forgets the identities that no pod of the worker has any more.
    pub fn retain(&self, keep: impl Fn(&Identity) -> bool) {
        self.seen.lock().retain(|identity, _| keep(identity));
    }
}
