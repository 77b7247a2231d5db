//! What has been seen so far: the parts and their logs, the connections, the shop's news. Whoever waits for something
//! waits here.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use super::access::Line;
use super::plan::WAYPOINT;
use super::request::Told;
use crate::shop::words::{Call, Follow, Load, News};

/// Those who wait look again after this long even if nothing was entered: time itself may be what they wait for.
const LOOK: Duration = Duration::from_millis(100);
/// How many of a part's last lines are remembered.
const TAIL: usize = 60;
/// How many connections are remembered that no call has claimed.
const UNCLAIMED: usize = 10_000;

/// Shared by everything on the stage; clones are the same ledger.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
    changed: watch::Sender<u64>,
}

/// The entries.
#[derive(Debug, Default)]
pub(crate) struct Book {
    /// Every part that was started, by name.
    pub(crate) parts: BTreeMap<String, PartEntry>,
    /// Connections that ended and that no call has claimed.
    pub(crate) lines: Vec<Line>,
    /// Requests through the waypoint that no call has claimed.
    pub(crate) told: Vec<Told>,
    /// Calls that nobody has taken.
    pub(crate) calls: Vec<Call>,
    /// Endless responses by the number of their order.
    pub(crate) follows: HashMap<u64, Follow>,
    /// Loads by the number of their order.
    pub(crate) loads: HashMap<u64, Load>,
    /// Pods whose program serves.
    pub(crate) listening: BTreeSet<String>,
    /// Set while connections, and calls made in order to answer others, are not to be remembered.
    pub(crate) careless: bool,
}

/// One process of the mesh or of the shop.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartEntry {
    /// Its process id in the world, while it runs.
    pub(crate) pid: Option<u32>,
    /// How often it was started.
    pub(crate) starts: u32,
    /// Its last lines.
    pub(crate) tail: VecDeque<String>,
    /// How it ended, when it has.
    pub(crate) ended: Option<String>,
}

/// Why what was waited for did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitError {
    /// A part of the mesh is gone.
    #[error("{part} ended unexpectedly ({how}): see what it logged, or start the demo again with --verbose")]
    Ended {
        /// Which.
        part: String,
        /// With which status or signal.
        how: String,
    },
    /// It took too long.
    #[error("waited {} s in vain for {what}: start the demo again with --verbose", patience.as_secs())]
    Late {
        /// For what.
        what: String,
        /// How long.
        patience: Duration,
    },
}

impl Default for Ledger {
    fn default() -> Self {
        Self { book: Arc::default(), changed: watch::channel(0).0 }
    }
}

impl Ledger {
    /// Changes entries and wakes whoever waits.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Reads entries.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Book) -> T) -> T {
        read(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` finds something in the entries. Fails at once when a part of the mesh ends.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut found: impl FnMut(&mut Book) -> Option<T>,
    ) -> Result<T, WaitError> {
        let mut changed = self.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                {
                    let mut book = self.lock();
                    if let Some(found) = found(&mut book) {
                        return Ok(found);
                    }
                    book.all_alive()?;
                }
                // The sender is ours: a change, or time.
                let _ = timeout(LOOK, changed.changed()).await;
            }
        };
        timeout(patience, waiting)
            .await
            .unwrap_or_else(|_| Err(WaitError::Late { what: what.to_owned(), patience }))
    }

    /// Waits until a part ends by itself.
    pub(crate) async fn any_end(&self) -> WaitError {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Err(ended) = self.lock().all_alive() {
                return ended;
            }
            if changed.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    /// Enters a line that a part wrote.
    pub(crate) fn line(&self, part: &str, text: &str) {
        self.change(|book| {
            let entry = book.parts.entry(part.to_owned()).or_default();
            if entry.tail.len() == TAIL {
                entry.tail.pop_front();
            }
            entry.tail.push_back(text.to_owned());
            if part == WAYPOINT.name {
                if book.told.len() >= UNCLAIMED {
                    book.told.clear();
                }
                book.told.extend(Told::parse(text));
            }
            if part.starts_with("ztunnel") && !book.careless {
                if book.lines.len() >= UNCLAIMED {
                    book.lines.clear();
                }
                book.lines.extend(Line::parse(text));
            }
        });
    }

    /// Enters what a program of the shop tells.
    pub(crate) fn news(&self, pod: &str, news: News) {
        self.change(|book| match news {
            News::Listening { .. } => {
                book.listening.insert(pod.to_owned());
            }
            News::Call(call) if book.careless && call.number.is_none() => {}
            News::Call(call) => book.calls.push(call),
            News::Follow(follow) => {
                book.follows.insert(follow.number, follow);
            }
            News::Load(load) => {
                book.loads.insert(load.number, load);
            }
        });
    }

    /// The last lines of a part.
    pub(crate) fn tail(&self, part: &str, lines: usize) -> Vec<String> {
        self.read(|book| {
            let Some(entry) = book.parts.get(part) else { return Vec::new() };
            entry.tail.iter().skip(entry.tail.len().saturating_sub(lines)).cloned().collect()
        })
    }
}

impl Book {
    fn all_alive(&self) -> Result<(), WaitError> {
        let ended = self.parts.iter().find_map(|(part, entry)| Some((part, entry.ended.as_ref()?)));
        match ended {
            Some((part, how)) => Err(WaitError::Ended { part: part.clone(), how: how.clone() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_comes_or_not() {
        let ledger = Ledger::default();
        let other = ledger.clone();
        let patience = Duration::from_secs(5);
        let waiting = tokio::spawn(async move {
            other.until("web", patience, |book| book.listening.contains("web").then_some(7)).await
        });
        tokio::task::yield_now().await;
        ledger.news("web", News::Listening { port: 1 });
        assert_eq!(waiting.await.unwrap().unwrap(), 7);
        let late = ledger.until("cart", patience, |book| book.listening.contains("cart").then_some(())).await;
        assert!(late.unwrap_err().to_string().contains("5 s in vain for cart"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_part_ends_every_wait() {
        let ledger = Ledger::default();
        ledger.line("ztunnel-node-1", "panic");
        ledger.change(|book| {
            book.parts.get_mut("ztunnel-node-1").unwrap().ended = Some("signal 9".into());
        });
        let error = ledger.until("anything", Duration::from_secs(5), |_| None::<()>).await.unwrap_err();
        assert!(error.to_string().contains("ztunnel-node-1 ended unexpectedly (signal 9)"));
        assert_eq!(ledger.any_end().await.to_string(), error.to_string());
        assert_eq!(ledger.tail("ztunnel-node-1", 3), ["panic"]);
    }

    #[test]
    fn only_the_last_lines_are_remembered() {
        let ledger = Ledger::default();
        for number in 0..200 {
            ledger.line("controller", &number.to_string());
        }
        assert_eq!(ledger.tail("controller", 2), ["198", "199"]);
        assert_eq!(ledger.tail("controller", 1000).len(), TAIL);
    }
}
