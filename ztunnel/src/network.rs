//! How flows reach the network: sockets made inside a pod's namespace, or pipes in a test.

use std::fmt;
use std::net::SocketAddr;

use ambit_transport::{Abort, DialOptions, Socket};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::pod::{Pod, PodSocketError};

/// A byte stream that a flow can carry.
pub trait Stream: AsyncRead + AsyncWrite + Abort + Unpin + Send + Sync + 'static {}

impl<S: AsyncRead + AsyncWrite + Abort + Unpin + Send + Sync + 'static> Stream for S {}

/// A network that pods dial in.
pub trait Network: fmt::Debug + Send + Sync + 'static {
    /// What dialling gives.
    type Stream: Stream;

    /// Dials `target` from inside the pod.
    fn dial(
        &self,
        pod: &Pod,
        options: &DialOptions,
        target: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, PodSocketError>> + Send;
}

/// The kernel's network, entered through each pod's namespace.
#[derive(Debug, Clone, Copy, Default)]
pub struct Namespaces;

impl Network for Namespaces {
    type Stream = Socket;

    async fn dial(
        &self,
        pod: &Pod,
        options: &DialOptions,
        target: SocketAddr,
    ) -> Result<Socket, PodSocketError> {
        Ok(pod.dial(options, target).await?.into())
    }
}

/// The two ends of an accepted connection, canonical.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// Who connected.
    pub peer: SocketAddr,
    /// Where to: for a captured connection, where it was going before the pod's rules turned it to us.
    pub destination: SocketAddr,
}
