//! Where connections are accepted, and which worker carries each.
//!
//! Tunnels are few and fat. The kernel's choice among listeners of several workers is a hash, which puts two busy
//! tunnels on one worker as often as not; so one worker accepts, and gives each to the worker that carries the fewest.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use ambit_app::{Load, Workers};
use ambit_transport::peer::canonical;
use ambit_transport::{Accepted, Listeners, Socket, Watch, accept_loop};
use tokio::net::TcpStream;

use crate::ingress;
use crate::proxy::{Ends, Proxy};
use crate::tunnel::tunnel;

/// Which worker accepts.
const HOME: usize = 0;

/// Who carries what is accepted.
#[derive(Debug, Clone)]
pub struct Floor {
    /// The workers.
    pub workers: Arc<Workers>,
    /// Their proxies, in the same order.
    pub proxies: Vec<Arc<Proxy>>,
    /// What each carries.
    pub load: Load,
    /// The end.
    pub drain: Watch,
}

/// What comes in at a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enters {
    /// Tunnels of the mesh.
    Tunnels,
    /// What a listener of a Gateway says.
    Requests,
}

/// Accepts on a worker until the drain, or until `closed`.
///
/// # Errors
/// There is no worker, or it has no room for the listener.
pub fn accept(
    listener: TcpListener,
    floor: &Floor,
    enters: Enters,
    closed: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let home = floor.workers.handle(HOME);
    let home = home.ok_or_else(|| io::Error::other("no worker is there to accept"))?;
    let _on_worker = home.enter();
    let listeners = Listeners::watch([listener])?;
    let floor = floor.clone();
    home.clone().spawn(async move {
        let accepting = accept_loop(listeners, floor.drain.clone(), |accepted| floor.carry(enters, accepted));
        tokio::select! {
            _ = accepting => {}
            () = closed => {}
        }
    });
    Ok(())
}

impl Floor {
    fn carry(&self, enters: Enters, accepted: Accepted) {
        let seat = self.load.take(HOME);
        let proxy = self.proxies.get(seat.worker()).cloned();
        let (Some(proxy), Some(worker)) = (proxy, self.workers.handle(seat.worker())) else { return };
        let drain = self.drain.clone();
        worker.spawn(async move {
            let Accepted { stream, peer, .. } = accepted;
            // Here, so that only the runtime that carries it ever watches it.
            let watched = TcpStream::from_std(stream);
            match watched.and_then(|stream| Ok((stream.local_addr().map(canonical)?, stream))) {
                Ok((local, stream)) => {
                    let (stream, ends) = (Socket::from(stream), Ends { peer, local });
                    match enters {
                        Enters::Tunnels => tunnel(proxy, stream, ends, drain).await,
                        Enters::Requests => ingress::connection(proxy, stream, ends, drain).await,
                    }
                }
                Err(error) => {
                    tracing::debug!(%peer, %error, "a connection was gone before it was looked at");
                }
            }
            drop(seat);
        });
    }
}
