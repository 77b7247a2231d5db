//! Making a tunnel: from inside the source pod's namespace, with the source pod's certificate.

use std::fmt;
use std::sync::Arc;

use ambit_hbone::{ConnectError, Connector, Key};
use ambit_identity::tls::{self, TlsStream};
use ambit_identity::{Certificates, ExpectedPeers};

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
