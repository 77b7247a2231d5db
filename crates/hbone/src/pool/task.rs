//! The life of one tunnel in a pool: dialled, registered, driven, forgotten; one task from start to end.

use std::sync::{Arc, Weak};

use super::slots::Slots;
use super::{ConnectError, Connector, Key, Shared, sweep};
use crate::client::{Connection, Driver, H2Error, connect};
use crate::settings::ClientSettings;

/// Starts as many dials as those who wait in the slot need and none has started yet.
pub(super) fn dial_missing<C: Connector>(
    connector: &Arc<C>,
    shared: &Arc<Shared>,
    slots: &mut Slots,
    slot: u64,
) {
    let Some((missing, key)) = slots.missing(slot) else { return };
    for _ in 0..missing {
        let dial = slots.next_dial();
        let dialing = Dialing { shared: Arc::downgrade(shared), slot, dial, settled: false };
        let task = tokio::spawn(run(Arc::clone(connector), dialing, key.clone()));
        slots.dialing(slot, dial, task.abort_handle());
    }
}

async fn run<C: Connector>(connector: Arc<C>, dialing: Dialing, key: Key) {
    let Some(settings) = dialing.shared.upgrade().map(|shared| shared.settings.client.clone()) else {
        return;
    };
    let made = make(&*connector, &key, &settings).await;
    let driver = match made {
        Ok((connection, driver)) => dialing.succeeded(connection, &connector).map(|member| (member, driver)),
        Err(error) => {
            tracing::debug!(destination = %key.destination(), %error, "no tunnel");
            dialing.failed(&error);
            None
        }
    };
    if let Some((_member, driver)) = driver
        && let Err(error) = driver.await
    {
        tracing::debug!(destination = %key.destination(), %error, "a tunnel ended");
    }
}

async fn make<C: Connector>(
    connector: &C,
    key: &Key,
    settings: &ClientSettings,
) -> Result<(Connection, Driver<C::Io>), ConnectError> {
    let io = connector.connect(key).await?;
    let (connection, driver) = connect(io, settings).await?;
    // Nobody could ever be served by it, and dialling on would not end.
    if connection.stream_limit() == 0 { Err(H2Error::NoStreams.into()) } else { Ok((connection, driver)) }
}

/// A dial under way. Dropped unsettled (a cut task, a panic), it fails those who wait for it.
struct Dialing {
    shared: Weak<Shared>,
    slot: u64,
    dial: u64,
    settled: bool,
}

impl Dialing {
    fn succeeded<C: Connector>(mut self, connection: Connection, connector: &Arc<C>) -> Option<Member> {
        self.settled = true;
        let shared = self.shared.upgrade()?;
        let mut slots = shared.slots.lock();
        let number = slots.dialed(self.slot, self.dial, connection)?;
        dial_missing(connector, &shared, &mut slots, self.slot);
        sweep::start(&shared, &mut slots);
        drop(slots);
        Some(Member { shared: self.shared.clone(), slot: self.slot, number })
    }

    fn failed(mut self, error: &ConnectError) {
        self.settle(error);
    }

    fn settle(&mut self, error: &ConnectError) {
        self.settled = true;
        if let Some(shared) = self.shared.upgrade() {
            shared.slots.lock().failed(self.slot, self.dial, error);
            shared.ended.notify_waiters();
        }
    }
}

impl Drop for Dialing {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(&ConnectError::Abandoned);
        }
    }
}

/// A tunnel in the books; dropped, it is out of them.
struct Member {
    shared: Weak<Shared>,
    slot: u64,
    number: u64,
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.slots.lock().ended(self.slot, self.number);
            shared.ended.notify_waiters();
        }
    }
}
