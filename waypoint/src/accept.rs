//! Where tunnels are accepted, and which worker carries each.
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

use crate::proxy::{Ends, Proxy};
use crate::tunnel::tunnel;

/// Which worker accepts.
const HOME: usize = 0;

/// Accepts on a worker until the drain. `proxies` are those of the workers, in order.
///
/// # Errors
/// There is no worker, or it has no room for the listener.
pub fn accept(
    listener: TcpListener,
    workers: &Arc<Workers>,
    proxies: Vec<Arc<Proxy>>,
    load: Load,
    drain: &Watch,
) -> io::Result<()> {
    let home = workers.handle(HOME).ok_or_else(|| io::Error::other("no worker is there to accept"))?;
    let _on_worker = home.enter();
    let listeners = Listeners::watch([listener])?;
    let (workers, drain) = (workers.clone(), drain.clone());
    home.clone().spawn(async move {
        let connections = drain.clone();
        let carry = |accepted| carry(&workers, &proxies, &load, &connections, accepted);
        accept_loop(listeners, drain, carry).await;
    });
    Ok(())
}

fn carry(workers: &Workers, proxies: &[Arc<Proxy>], load: &Load, drain: &Watch, accepted: Accepted) {
    let seat = load.take(HOME);
    let proxy = proxies.get(seat.worker()).cloned();
    let (Some(proxy), Some(worker)) = (proxy, workers.handle(seat.worker())) else { return };
    let drain = drain.clone();
    worker.spawn(async move {
        let Accepted { stream, peer, .. } = accepted;
        // Here, so that only the runtime that carries it ever watches it.
        let watched = TcpStream::from_std(stream);
        match watched.and_then(|stream| Ok((stream.local_addr().map(canonical)?, stream))) {
            Ok((local, stream)) => tunnel(proxy, Socket::from(stream), Ends { peer, local }, drain).await,
            Err(error) => tracing::debug!(%peer, %error, "a connection was gone before it was looked at"),
        }
        drop(seat);
    });
}
