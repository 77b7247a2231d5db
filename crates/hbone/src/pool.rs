//! Tunnels shared by the connections of one pod to one destination, made when needed and closed when idle.

mod key;
mod rotation;
mod slots;
mod sweep;
mod task;

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use ambit_transport::Ahead;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, Empty};
use tokio::sync::{Notify, oneshot};

use crate::client::{ConnectRequest, OpenError, Opened, ResponseHead, Unopened};
use crate::settings::ClientSettings;
use crate::stream::Stream;

pub use key::{ConnectError, Connector, Key};
pub use rotation::Rotation;
use slots::{Lease, Slots};

/// How a pool behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Each of its tunnels.
    pub client: ClientSettings,
    /// How long a tunnel without streams is kept: 90 s.
    pub idle_timeout: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { client: ClientSettings::default(), idle_timeout: Duration::from_secs(90) }
    }
}

/// What a pool holds at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Tunnels that take new streams.
    pub connections: usize,
    /// Tunnels that take none any more and live as long as their streams.
    pub draining: usize,
    /// Streams in all of them.
    pub streams: usize,
    /// Tunnels being made.
    pub dialing: usize,
    /// Streams that wait for one.
    pub waiting: usize,
}

/// The tunnels of one worker. Must be used inside a runtime: it spawns one task a tunnel, and one for all idle timers.
///
/// Dropping it cuts every tunnel.
#[derive(Debug)]
pub struct Pool<C: Connector> {
    connector: Arc<C>,
    shared: Arc<Shared>,
}

/// What the pool and its tasks share. No lock is held over an await.
#[derive(Debug)]
struct Shared {
    settings: PoolSettings,
    slots: Mutex<Slots>,
    /// A tunnel or a dial is out of the books.
    ended: Notify,
}

impl<C: Connector> Pool<C> {
    /// An empty pool.
    pub fn new(connector: C, settings: PoolSettings) -> Self {
        let slots = Slots::new(settings.client.max_streams.max(1));
        Self {
            connector: Arc::new(connector),
            shared: Arc::new(Shared { settings, slots: Mutex::new(slots), ended: Notify::new() }),
        }
    }

    /// Opens a stream to the key's destination, in a tunnel that is there or in a new one.
    ///
    /// A burst of n makes about n / limit tunnels; all who wait for a tunnel that cannot be made get the same error. A
    /// tunnel that turns out dead, or does not take the stream, is replaced once by a fresh one, which is safe since
    /// nothing of the carried connection has been sent. The caller bounds the wait.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        &self,
        key: &Key,
        request: ConnectRequest,
    ) -> Result<(Stream, ResponseHead), OpenError> {
        let opened = self.open_from(key, request, None::<&mut Ahead<Empty>>).await?;
        Ok((opened.stream, opened.head))
    }

    /// The same for the connection of `client`; see [`Connection::open_for`](crate::Connection::open_for). A tunnel that
    /// turns out dead is not replaced when first bytes may have arrived.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open_for<S: AsyncRead + Unpin>(
        &self,
        key: &Key,
        request: ConnectRequest,
        client: &mut Ahead<S>,
    ) -> Result<Opened, OpenError> {
        self.open_from(key, request, Some(client)).await
    }

    async fn open_from<S: AsyncRead + Unpin>(
        &self,
        key: &Key,
        request: ConnectRequest,
        mut client: Option<&mut Ahead<S>>,
    ) -> Result<Opened, OpenError> {
        let lease = self.lease(key, 0).await?;
        let reused = lease.reused;
        let Unopened { error, exposed } = match attempt(lease, request.clone(), client.as_deref_mut()).await {
            Ok(opened) => return Ok(opened),
            Err(unopened) => unopened,
        };
        let stale = reused && !exposed && matches!(error, OpenError::Lost(_));
        if !stale && !error.not_processed() {
            return Err(error);
        }
        tracing::debug!(%error, destination = %key.destination(), "a tunnel was dead: trying once with a fresh one");
        let fresh = self.shared.slots.lock().next_connection();
        let lease = self.lease(key, fresh).await?;
        attempt(lease, request, client).await.map_err(|unopened| unopened.error)
    }

    /// A place in a tunnel whose number is at least `oldest`.
    async fn lease(&self, key: &Key, oldest: u64) -> Result<Lease, OpenError> {
        let waiting = {
            let mut slots = self.shared.slots.lock();
            if let Some(lease) = slots.lease(key, oldest)? {
                return Ok(lease);
            }
            let (reply, waiting) = oneshot::channel();
            let slot = slots.wait(key, oldest, reply);
            self.dial(&mut slots, slot);
            waiting
        };
        waiting.await.map_err(|_| OpenError::Closed)?
    }

    fn dial(&self, slots: &mut Slots, slot: u64) {
        task::dial_missing(&self.connector, &self.shared, slots, slot);
    }

    /// Makes the tunnels of matching keys take no new streams: those go into new tunnels, made with whatever certificate
    /// is valid then. Open streams go on, and their tunnels close after the last of them.
    pub fn drain(&self, matches: impl Fn(&Key) -> bool) {
        let dropped = self.shared.slots.lock().drain(matches);
        drop(dropped);
    }

    /// Takes no new streams into any tunnel, and resolves when the last one has sent what its streams left in it. A process
    /// that ends earlier cuts off the end of what it carried. The caller bounds the wait.
    pub async fn finish(&self) {
        self.drain(|_| true);
        loop {
            let mut ended = pin!(self.shared.ended.notified());
            ended.as_mut().enable();
            if self.shared.slots.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }

    /// Cuts the tunnels of matching keys with everything in them, and fails who waits for one. For a pod that is gone
    /// and for a certificate that is revoked.
    pub fn close(&self, matches: impl Fn(&Key) -> bool) {
        let closed = self.shared.slots.lock().close(matches);
        closed.finish();
        self.shared.ended.notify_waiters();
    }

    /// [`Self::close`] for every key that `keep` refuses.
    pub fn retain(&self, keep: impl Fn(&Key) -> bool) {
        self.close(|key| !keep(key));
    }

    /// What the pool holds now, for metrics.
    pub fn counts(&self) -> Counts {
        self.shared.slots.lock().counts()
    }
}

impl<C: Connector> Drop for Pool<C> {
    fn drop(&mut self) {
        let closed = self.shared.slots.lock().close_all();
        closed.finish();
    }
}

async fn attempt<S: AsyncRead + Unpin>(
    lease: Lease,
    request: ConnectRequest,
    client: Option<&mut Ahead<S>>,
) -> Result<Opened, Unopened> {
    let Lease { connection, place, .. } = lease;
    let opening = connection.start(place, request)?;
    // The stream keeps its connection alive; the handle may go now, so that a drain can end it.
    drop(connection);
    opening.answered(client).await
}
