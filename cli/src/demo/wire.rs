//! What crosses the link between the nodes in clear? Every frame is searched for the word that all bodies carry.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ambit_netns::Namespace;
use ambit_netns::capture::{Capture, Search, Segment, segment};

use super::plan::{HBONE_PORT, LINK, Pod, Role};

/// How long the link must be silent for everything sent to have been looked at.
const SILENCE: Duration = Duration::from_millis(30);

/// What was seen on the link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Frames looked at.
    pub(crate) frames: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Frames that the kernel dropped before they could be looked at.
    pub(crate) lost: u64,
    /// Why nothing is looked at any more.
    pub(crate) ended: Option<String>,
    /// Bytes inside tunnels.
    pub(crate) tunnelled: u64,
    /// How often the word was seen, by the pods at both ends.
    pub(crate) words: BTreeMap<(String, String), u64>,
}

/// Watches the link.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    seen: Arc<Mutex<Seen>>,
}

impl Wire {
    /// Watches the link of `node` for `word` from now on.
    pub(crate) fn watch(node: &Namespace, word: &str) -> anyhow::Result<Self> {
        let wire = Self { seen: Arc::default() };
        let capture = Capture::open(node, LINK)?;
        let (search, seen) = (Search::new(word), wire.seen.clone());
        // A thread of its own: without root the kernel keeps few frames for a reader that is late.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        std::thread::Builder::new()
            .name("wire".to_owned())
            .spawn(move || runtime.block_on(look(capture, search, seen)))?;
        Ok(wire)
    }

    /// What was seen, once the link has been silent for a moment or `patience` is over.
    pub(crate) async fn seen(&self, patience: Duration) -> Seen {
        let deadline = tokio::time::Instant::now() + patience;
        let mut before = self.now();
        loop {
            tokio::time::sleep(SILENCE).await;
            let now = self.now();
            if now.frames == before.frames || tokio::time::Instant::now() >= deadline {
                return now;
            }
            before = now;
        }
    }

    fn now(&self) -> Seen {
        lock(&self.seen).clone()
    }
}

async fn look(capture: Capture, mut search: Search, seen: Arc<Mutex<Seen>>) {
    let ended = look_at_frames(capture, &mut search, &seen).await;
    lock(&seen).ended = ended.err().map(|error| error.to_string());
}

async fn look_at_frames(capture: Capture, search: &mut Search, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut capture = capture.into_async()?;
    loop {
        let found = capture.next(|frame| segment(frame).map(|segment| note(&segment, search))).await?;
        let counters = capture.counters();
        let mut seen = lock(seen);
        (seen.frames, seen.bytes, seen.lost) = (counters.frames, counters.bytes, counters.lost);
        if let Some(found) = found {
            seen.tunnelled += found.tunnelled;
            if let Some(ends) = found.ends {
                *seen.words.entry(ends).or_default() += 1;
            }
        }
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Found {
    tunnelled: u64,
    ends: Option<(String, String)>,
}

fn note(segment: &Segment<'_>, search: &mut Search) -> Found {
    let tunnelled = if segment.has_port(HBONE_PORT) { segment.payload.len() as u64 } else { 0 };
    let ends = search.found(segment).then(|| {
        let mut ends = [segment.source.ip(), segment.destination.ip()]
            .map(|address| Pod::at(address).map_or_else(|| address.to_string(), |pod| pod.name.to_owned()));
        ends.sort();
        ends.into()
    });
    Found { tunnelled, ends }
}

impl Seen {
    /// How often the word was seen where every pod that took part is of the mesh, or unknown.
    pub(crate) fn leaked(&self) -> u64 {
        self.count(false)
    }

    /// How often the word was seen where the outsider took part, which proves that it can be seen.
    pub(crate) fn outside(&self) -> u64 {
        self.count(true)
    }

    fn count(&self, outside: bool) -> u64 {
        let is_outside = |name: &str| Pod::named(name).is_some_and(|pod| pod.role == Role::Outsider);
        let wanted = |ends: &(String, String)| (is_outside(&ends.0) || is_outside(&ends.1)) == outside;
        self.words.iter().filter(|(ends, _)| wanted(ends)).map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_attributed_to_the_pods_that_said_it() {
        let mut search = Search::new("secret");
        let segment = |source: &str, destination: &str, payload: &'static [u8]| Segment {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            payload,
        };
        let mut seen = Seen::default();
        let (web, catalog, outsider) = ("10.244.1.10:4000", "10.244.2.13:8080", "10.244.1.14:5000");
        for found in [
            note(&segment(outsider, catalog, b"a secret"), &mut search),
            note(&segment(catalog, outsider, b"another secret"), &mut search),
            note(&segment(web, "10.244.2.13:15008", b"\x17\x03\x03"), &mut search),
            note(&segment(web, catalog, b"secret"), &mut search),
        ] {
            seen.tunnelled += found.tunnelled;
            if let Some(ends) = found.ends {
                *seen.words.entry(ends).or_default() += 1;
            }
        }
        assert_eq!((seen.outside(), seen.leaked(), seen.tunnelled), (2, 1, 3));
    }
}
