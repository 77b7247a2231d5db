//! Making a tunnel to an endpoint's own proxy, with this proxy's certificate.

use std::fmt;
use std::sync::Arc;

use ambit_hbone::{ConnectError, Connector, Key};
use ambit_identity::tls::{self, TlsStream};
use ambit_identity::{Certificates, ExpectedPeers};
use ambit_transport::DialOptions;

use crate::network::Network;
use crate::settings::Settings;

/// Dials tunnels.
pub struct Dialer<N> {
    network: Arc<N>,
    settings: Arc<Settings>,
    certificates: Certificates,
}

impl<N> Dialer<N> {
    /// A dialer in this network.
    pub fn new(network: Arc<N>, settings: Arc<Settings>, certificates: Certificates) -> Self {
        Self { network, settings, certificates }
    }
}

impl<N> fmt::Debug for Dialer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl<N: Network> Connector for Dialer<N> {
    type Io = TlsStream<N::Stream>;

    async fn connect(&self, key: &Key) -> Result<Self::Io, ConnectError> {
        let certificate = match self.certificates.current(key.source()) {
            Some(certificate) => certificate,
            None => self.certificates.certificate(key.source()).await.map_err(ConnectError::identity)?,
        };
        let options = dial_options(&self.settings);
        let stream = self.network.dial(&options, key.destination()).await.map_err(ConnectError::dial)?;
        let expected = ExpectedPeers::with_names([], key.expected().iter());
        let address = key.destination().ip();
        let (stream, _peer) = tls::connect_with(self.settings.tls, address, stream, &certificate, &expected)
            .await
            .map_err(ConnectError::tls)?;
        Ok(stream)
    }
}

/// How this proxy dials.
pub fn dial_options(settings: &Settings) -> DialOptions {
    let keepalive = settings.keepalive.clone();
    let user_timeout = keepalive.as_ref().filter(|_| settings.user_timeout);
    let user_timeout = user_timeout.map(|probes| probes.idle + probes.interval * probes.probes);
    DialOptions { keepalive, user_timeout, ..DialOptions::default() }
}
