//! What rustls keeps of a connection after its handshake: the key schedule, and the store for tickets.

use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{ConnectionTrafficSecrets, Error, SupportedCipherSuite};

/// Either end's.
pub(super) enum Session {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

impl Session {
    pub(super) fn suite(&self) -> SupportedCipherSuite {
        match self {
            Self::Client(kernel) => kernel.negotiated_cipher_suite(),
            Self::Server(kernel) => kernel.negotiated_cipher_suite(),
        }
    }

    pub(super) fn is_client(&self) -> bool {
        matches!(self, Self::Client(_))
    }

    /// The next secrets of our direction (RFC 8446 section 7.2).
    pub(super) fn next_sending(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_tx_secret(),
            Self::Server(kernel) => kernel.update_tx_secret(),
        }
    }

    /// The next secrets of the peer's direction.
    pub(super) fn next_receiving(&mut self) -> Result<(u64, ConnectionTrafficSecrets), Error> {
        match self {
            Self::Client(kernel) => kernel.update_rx_secret(),
            Self::Server(kernel) => kernel.update_rx_secret(),
        }
    }

    /// Keeps a server's ticket; no server takes one.
    pub(super) fn ticket(&mut self, payload: &[u8]) -> Result<(), Error> {
        match self {
            Self::Client(kernel) => kernel.handle_new_session_ticket(payload),
            Self::Server(_) => Err(Error::General("a server was sent a ticket".into())),
        }
    }
}
