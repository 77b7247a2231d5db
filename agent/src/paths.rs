//! The places where network namespaces are named, watched: a pod whose namespace appears, vanishes or is replaced is
//! looked at within milliseconds, not at the next verification.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

/// A namespace is made in two moves: a file, then a mount on it, of which nobody tells.
const SETTLE: Duration = Duration::from_millis(20);
/// Not on a disk: nobody tells of changes there.
const SILENT: &str = "/proc";

#[derive(Debug, Default)]
struct Events {
    paths: Mutex<BTreeSet<PathBuf>>,
    woken: Notify,
}

/// The watch. Without one, the pods are looked at when they are verified.
#[derive(Debug)]
pub(crate) struct Paths {
    events: Arc<Events>,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Paths {
    pub(crate) fn new() -> Self {
        let events = Arc::new(Events::default());
        let seen = Arc::clone(&events);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !event.kind.is_access()
            {
                seen.paths.lock().extend(event.paths);
                seen.woken.notify_one();
            }
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!("network namespaces cannot be watched ({error}): they are looked at when they are verified"))
            .ok();
        Self { events, watcher, directories: BTreeSet::new() }
    }

    /// Watches the directories of these paths, and no others. Those that do not exist are tried again the next time.
    pub(crate) fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        let Some(watcher) = &mut self.watcher else { return };
        let wanted: BTreeSet<PathBuf> = paths
            .filter_map(Path::parent)
            .filter(|path| !path.starts_with(SILENT))
            .map(Path::to_owned)
            .collect();
        for gone in self.directories.difference(&wanted) {
            let _ = watcher.unwatch(gone);
        }
        self.directories = wanted
            .into_iter()
            .filter(|path| {
                self.directories.contains(path) || watcher.watch(path, RecursiveMode::NonRecursive).is_ok()
            })
            .collect();
    }

    /// The paths at which something has happened.
    pub(crate) async fn changed(&self) -> BTreeSet<PathBuf> {
        // A wait that was given up half way is taken up again.
        while self.events.paths.lock().is_empty() {
            self.events.woken.notified().await;
        }
        sleep(SETTLE).await;
        std::mem::take(&mut *self.events.paths.lock())
    }
}
