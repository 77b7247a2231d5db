//! What the system tells about changes below a directory.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// How long nothing may change before the directory counts as quiet.
const QUIET: Duration = Duration::from_millis(60);

/// A directory that is being watched.
pub(super) struct Notices {
    /// Kept for its thread. `None` where the system gives no more watches.
    _watcher: Option<RecommendedWatcher>,
    arriving: mpsc::Receiver<()>,
    /// Files that somebody writes at this moment. They are not whole.
    written: Arc<Mutex<HashSet<PathBuf>>>,
    /// The directory that is watched, which its name may have left.
    watched: Option<(u64, u64)>,
}

impl Notices {
    pub(super) fn start(directory: &Path) -> Self {
        let (tell, arriving) = mpsc::channel(1);
        let written = Arc::new(Mutex::new(HashSet::new()));
        let watched = inode(directory);
        let writing = written.clone();
        let notice = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| matters(&event, &writing)) {
                // A full channel holds a notice already.
                let _ = tell.try_send(());
            }
        };
        let watcher = notify::recommended_watcher(notice).and_then(|mut watcher| {
            watcher.watch(directory, RecursiveMode::Recursive)?;
            Ok(watcher)
        });
        let watcher = watcher.map_err(|error| {
            tracing::warn!(%error, directory = %directory.display(),
                "changes are noticed late: raise fs.inotify.max_user_watches and max_user_instances");
        });
        Self { _watcher: watcher.ok(), arriving, written, watched }
    }

    /// Waits for a notice, at most so long; whether one came.
    pub(super) async fn next(&mut self, longest: Duration) -> bool {
        let deadline = Instant::now() + longest;
        match timeout(longest, self.arriving.recv()).await {
            Ok(Some(())) => true,
            Ok(None) => {
                // Nobody can tell any more.
                sleep_until(deadline).await;
                false
            }
            Err(_) => false,
        }
    }

    /// Waits until nothing has changed for a while and nobody is in the middle of a file, at most until `deadline`.
    pub(super) async fn quiet(&mut self, deadline: Instant) {
        while Instant::now() < deadline {
            match timeout(QUIET, self.arriving.recv()).await {
                Ok(Some(())) => {}
                Err(_) if !self.written.lock().is_empty() => {}
                Ok(None) | Err(_) => return,
            }
        }
        // Whoever has not finished by now may have died.
        self.written.lock().clear();
    }

    /// Whether something changed since the last look.
    pub(super) fn arrived(&mut self) -> bool {
        self.arriving.try_recv().is_ok() || !self.written.lock().is_empty()
    }

    /// Whether the directory's name leads elsewhere now, as after a swap of links.
    pub(super) fn stale(&self, directory: &Path) -> bool {
        self.watched != inode(directory)
    }
}

/// Whether an event may have changed what is read. Our own reading opens and closes files too.
fn matters(event: &notify::Event, written: &Mutex<HashSet<PathBuf>>) -> bool {
    match event.kind {
        EventKind::Modify(ModifyKind::Data(_)) => written.lock().extend(event.paths.iter().cloned()),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Remove(_) => {
            forget(event, written)
        }
        EventKind::Modify(ModifyKind::Name(_)) => forget(event, written),
        EventKind::Access(_) => return false,
        _ => {}
    }
    true
}

fn forget(event: &notify::Event, written: &Mutex<HashSet<PathBuf>>) {
    let mut written = written.lock();
    for path in &event.paths {
        written.remove(path);
    }
}

fn inode(directory: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(directory).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> notify::Event {
        notify::Event::new(kind).add_path("policy.yaml".into())
    }

    fn notices() -> (Notices, mpsc::Sender<()>) {
        let (tell, arriving) = mpsc::channel(1);
        (Notices { _watcher: None, arriving, written: Arc::default(), watched: None }, tell)
    }

    const WRITTEN: EventKind = EventKind::Modify(ModifyKind::Data(notify::event::DataChange::Any));
    const CLOSED: EventKind = EventKind::Access(AccessKind::Close(AccessMode::Write));

    #[tokio::test(start_paused = true)]
    async fn a_file_that_is_being_written_is_waited_for() {
        let (mut notices, _tell) = notices();
        assert!(matters(&event(WRITTEN), &notices.written));
        let (began, patience) = (Instant::now(), Duration::from_secs(1));
        let written = notices.written.clone();
        let writer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(matters(&event(CLOSED), &written));
        });
        notices.quiet(began + patience).await;
        assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
        assert!(began.elapsed() < patience && !notices.arrived());
        writer.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_never_finishes_is_not_waited_for_for_ever() {
        let (mut notices, _tell) = notices();
        matters(&event(WRITTEN), &notices.written);
        let (began, patience) = (Instant::now(), Duration::from_secs(1));
        notices.quiet(began + patience).await;
        assert!(began.elapsed() >= patience);
        assert!(!notices.arrived());
    }

    #[test]
    fn reading_is_no_change() {
        let written = Mutex::default();
        assert!(!matters(&event(EventKind::Access(AccessKind::Open(AccessMode::Read))), &written));
        assert!(!matters(&event(EventKind::Access(AccessKind::Close(AccessMode::Read))), &written));
        assert!(matters(&event(EventKind::Remove(notify::event::RemoveKind::File)), &written));
    }
}
