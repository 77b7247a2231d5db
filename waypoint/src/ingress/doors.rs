//! Which ports are open: those of the Gateway's listeners, as they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use ambit_transport::ListenError;
use tokio::sync::{oneshot, watch};

use crate::accept::{Enters, Floor, accept};
use crate::settings::Settings;

/// Pause before a port that could not be opened is tried again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why a port is not open.
#[derive(Debug, thiserror::Error)]
pub enum DoorError {
    /// This proxy has another use for it.
    #[error("port {0} is one of this proxy's own; give the listener another")]
    Own(u16),
    /// The kernel does not give it.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is nobody to accept.
    #[error(transparent)]
    Accept(#[from] io::Error),
}

/// Opens and closes ports until the drain. Who is connected already stays, and is told 404 where the listener has gone.
pub async fn doors(
    floor: Floor,
    settings: &Settings,
    mut ports: watch::Receiver<BTreeSet<u16>>,
    listen: impl Fn(u16) -> Result<TcpListener, ListenError>,
) {
    let mut open: BTreeMap<u16, oneshot::Sender<()>> = BTreeMap::new();
    let mut failed = BTreeSet::new();
    loop {
        let wanted = ports.borrow_and_update().clone();
        let closed: Vec<u16> = open.keys().filter(|port| !wanted.contains(port)).copied().collect();
        for port in closed {
            open.remove(&port);
            tracing::info!(port, "listener closed");
        }
        failed.retain(|port| wanted.contains(port));
        for port in wanted.into_iter().filter(|port| !open.contains_key(port)).collect::<Vec<_>>() {
            match door(&floor, settings, port, &listen) {
                Ok(door) => {
                    tracing::info!(port, "listener open");
                    failed.remove(&port);
                    open.insert(port, door);
                }
                Err(error) if failed.insert(port) => tracing::error!(port, %error, "listener is not served"),
                Err(_) => {}
            }
        }
        tokio::select! {
            changed = ports.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE), if !failed.is_empty() => {}
            _ = floor.drain.signaled() => return,
        }
    }
}

/// Opens a port, which stays open until what this gives is dropped.
fn door(
    floor: &Floor,
    settings: &Settings,
    port: u16,
    listen: impl Fn(u16) -> Result<TcpListener, ListenError>,
) -> Result<oneshot::Sender<()>, DoorError> {
    let ports = &settings.ports;
    // Shared ports would take connections from each other.
    if [settings.port, ports.admin, ports.stats, ports.readiness].contains(&port) {
        return Err(DoorError::Own(port));
    }
    let (door, closed) = oneshot::channel();
    let closed = async { drop(closed.await) };
    accept(listen(port)?, floor, Enters::Requests, closed)?;
    Ok(door)
}
