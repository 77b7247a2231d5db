//! Graceful end of work: one side asks, the other notices, and the asker learns when the last one has gone.
//!
//! Deadlines belong to the caller: `drain(Graceful)`, wait for [`Drain::finished`] as long as patience lasts, then
//! `drain(Immediate)`. Drains nest ([`Watch::nested`]): draining the process drains every pod, draining a pod leaves
//! the others alone, and the process is finished only when its pods are.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::watch;

/// How work has to end. `Immediate` outranks `Graceful`; a drain can only become more urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Take nothing new, let what runs come to its own end.
    Graceful,
    /// End now.
    Immediate,
}

/// Starts a drain and waits for it. Dropping it drains at once: nobody could ask any more.
#[derive(Debug)]
pub struct Drain {
    node: Arc<Node>,
}

/// Held by everything that must be gone before a drain is finished. A clone costs one reference count.
#[derive(Debug, Clone)]
pub struct Watch {
    seat: Arc<Seat>,
}

/// What all clones of one watch share. When the last goes, so do the receiver and the seat in the parent.
#[derive(Debug)]
struct Seat {
    mode: watch::Receiver<Option<Mode>>,
    node: Arc<Node>,
    _parent: Option<Watch>,
}

#[derive(Debug)]
struct Node {
    mode: watch::Sender<Option<Mode>>,
    children: Mutex<Vec<Weak<Node>>>,
}

/// A new drain and the watch that it waits for.
pub fn channel() -> (Drain, Watch) {
    pair(None, None)
}

fn pair(mode: Option<Mode>, parent: Option<Watch>) -> (Drain, Watch) {
    let (sender, receiver) = watch::channel(mode);
    let node = Arc::new(Node { mode: sender, children: Mutex::new(Vec::new()) });
    let seat = Seat { mode: receiver, node: Arc::clone(&node), _parent: parent };
    (Drain { node }, Watch { seat: Arc::new(seat) })
}

impl Node {
    fn drain(&self, mode: Mode) {
        // The lock is held over the change so that a child made meanwhile sees either the mode or the signal.
        let children = self.children.lock();
        self.mode.send_if_modified(|now| {
            let urgent = *now < Some(mode);
            if urgent {
                *now = Some(mode);
            }
            urgent
        });
        for child in children.iter().filter_map(Weak::upgrade) {
            child.drain(mode);
        }
    }
}

impl Drain {
    /// Asks every watch to end, now or gracefully. May be called again with a more urgent mode; a less urgent one
    /// changes nothing.
    pub fn drain(&self, mode: Mode) {
        self.node.drain(mode);
    }

    /// Resolves when every clone of the watch, and of every watch nested in it, is dropped.
    pub async fn finished(&self) {
        self.node.mode.closed().await;
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.node.drain(Mode::Immediate);
    }
}

impl Watch {
    /// Resolves with the mode once a drain has started, at once if it already has.
    pub async fn signaled(&self) -> Mode {
        self.at_least(Mode::Graceful).await
    }

    /// Resolves once the drain has become immediate. A graceful drain alone does not resolve it.
    pub async fn immediate(&self) {
        self.at_least(Mode::Immediate).await;
    }

    /// The mode of a drain that has started, `None` before.
    pub fn mode(&self) -> Option<Mode> {
        *self.seat.mode.borrow()
    }

    /// A drain of its own for a part of the work: it can be drained alone, and follows this one.
    pub fn nested(&self) -> (Drain, Watch) {
        let mut children = self.seat.node.children.lock();
        children.retain(|child| child.strong_count() > 0);
        let (drain, watch) = pair(self.mode(), Some(self.clone()));
        children.push(Arc::downgrade(&drain.node));
        (drain, watch)
    }

    async fn at_least(&self, wanted: Mode) -> Mode {
        let mut mode = self.seat.mode.clone();
        match mode.wait_for(|now| *now >= Some(wanted)).await {
            Ok(now) => now.unwrap_or(Mode::Immediate),
            // The sender lives in the seat, so this cannot come; if it did, nobody would be left to ask.
            Err(_) => Mode::Immediate,
        }
    }
}
