//! The one timer of a pool: closes tunnels that nobody has used for a while.

use std::sync::{Arc, Weak};

use tokio::time::{Instant, sleep_until};

use super::Shared;
use super::slots::Slots;

/// Starts the timer unless it runs. It ends by itself when there is no tunnel left to watch.
pub(super) fn start(shared: &Arc<Shared>, slots: &mut Slots) {
    if slots.needs_sweeper() {
        let first = Instant::now() + shared.settings.idle_timeout;
        let task = tokio::spawn(run(Arc::downgrade(shared), first));
        slots.set_sweeper(task.abort_handle());
    }
}

async fn run(shared: Weak<Shared>, first: Instant) {
    let mut next = Some(first);
    while let Some(due) = next {
        sleep_until(due).await;
        let Some(shared) = shared.upgrade() else { return };
        next = shared.slots.lock().sweep(Instant::now(), shared.settings.idle_timeout);
    }
}
