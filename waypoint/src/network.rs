//! How flows reach the network: the kernel's sockets, or pipes in a test.

use std::fmt;
use std::net::SocketAddr;

use ambit_transport::dial::dial;
use ambit_transport::{Abort, DialError, DialOptions, Socket};
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream that a flow can carry.
pub trait Stream: AsyncRead + AsyncWrite + Abort + Unpin + Send + Sync + 'static {}

impl<S: AsyncRead + AsyncWrite + Abort + Unpin + Send + Sync + 'static> Stream for S {}

/// A network to dial in.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// What dialling gives.
    type Stream: Stream;

    /// Dials `target`.
    fn dial(
        &self,
        options: &DialOptions,
        target: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, DialError>> + Send;
}

/// The kernel's network, in this process's own namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kernel;

impl Network for Kernel {
    type Stream = Socket;

    async fn dial(&self, options: &DialOptions, target: SocketAddr) -> Result<Socket, DialError> {
        Ok(dial(options, target).await?.into())
    }
}
