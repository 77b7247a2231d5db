//! Fetches what is wanted, again and again, and keeps the last good keys through an outage.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::RootCa;
use ambit_model::Text;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::fetch::{FetchError, fetch};
use super::{KeySets, KeySource, Permissions, Wanted};
use crate::state::{Access, StateDirectory};

/// Fetches under way.
const MOST_FETCHES: usize = 16;
/// Where the last good keys are, so that a controller that starts during an outage has them.
const FILE: &str = "jwks.json";

/// How often keys are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How old keys become before they are fetched again: an issuer that rotates waits longer before it signs with a new
    /// key.
    pub refresh: Duration,
    /// The first pause after a failure; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause after a failure.
    pub longest_pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { refresh: seconds(300), first_pause: seconds(1), longest_pause: seconds(60) }
    }
}

/// Fetches keys. There is one.
#[derive(Debug)]
pub struct Keeper {
    wanted: watch::Receiver<Wanted>,
    sets: watch::Sender<Arc<KeySets>>,
    permissions: Permissions,
    state: StateDirectory,
    pace: Pace,
    entries: BTreeMap<KeySource, Entry>,
    /// The last good keys of former processes, by the source's text.
    kept: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    keys: Result<Text, Text>,
    timeout: Duration,
    next: Instant,
    pause: Duration,
    fetching: bool,
}

type Outcome = (KeySource, Result<Text, FetchError>);

impl Keeper {
    /// A keeper of what `wanted` names, with the keys that the state directory holds.
    pub fn new(
        wanted: watch::Receiver<Wanted>,
        permissions: Permissions,
        state: StateDirectory,
        pace: Pace,
    ) -> Self {
        let kept = match state.read(FILE, Access::Private) {
            Ok(bytes) => bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "the keys of token issuers that were kept are not used");
                BTreeMap::new()
            }
        };
        let sets = watch::Sender::new(Arc::default());
        let mut keeper = Self { wanted, sets, permissions, state, pace, entries: BTreeMap::new(), kept };
        keeper.want();
        keeper
    }

    /// What is known; changes whenever keys do.
    pub fn sets(&self) -> watch::Receiver<Arc<KeySets>> {
        self.sets.subscribe()
    }

    /// Fetches until nobody wants anything any more.
    pub async fn run(mut self) {
        let mut fetches: JoinSet<Outcome> = JoinSet::new();
        loop {
            self.start(&mut fetches);
            let next = self.entries.values().filter(|entry| !entry.fetching).map(|entry| entry.next).min();
            let room = fetches.len() < MOST_FETCHES;
            tokio::select! {
                changed = self.wanted.changed() => match changed {
                    Ok(()) => self.want(),
                    Err(_) => return,
                },
                Some(outcome) = fetches.join_next() => match outcome {
                    Ok((source, outcome)) => self.take(&source, outcome).await,
                    Err(error) => tracing::error!(%error, "fetching keys failed: this is a bug, please report it"),
                },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if room && next.is_some() => {}
            }
        }
    }

    fn start(&mut self, fetches: &mut JoinSet<Outcome>) {
        let now = Instant::now();
        let due = self.entries.iter_mut().filter(|(_, entry)| !entry.fetching && entry.next <= now);
        for (source, entry) in due.take(MOST_FETCHES.saturating_sub(fetches.len())) {
            entry.fetching = true;
            let (source, timeout, permissions) = (source.clone(), entry.timeout, self.permissions.clone());
            fetches.spawn(async move {
                let outcome = fetch(&source, timeout, &permissions, &RootCa::System).await;
                (source, outcome)
            });
        }
    }

    /// Takes up what is new, and forgets what nobody wants.
    fn want(&mut self) {
        let wanted = self.wanted.borrow_and_update().clone();
        self.entries.retain(|source, _| wanted.contains_key(source));
        for (source, timeout) in wanted {
            let kept = self.kept.get(&source.to_string()).map(|keys| Text::from(keys.as_str()));
            let keys = kept.ok_or_else(|| "they were not fetched yet".into());
            let pause = self.pace.first_pause;
            let entry = Entry { keys, timeout, next: Instant::now(), pause, fetching: false };
            self.entries.entry(source).or_insert(entry).timeout = timeout;
        }
        self.publish();
    }

    async fn take(&mut self, source: &KeySource, outcome: Result<Text, FetchError>) {
        let Some(entry) = self.entries.get_mut(source) else { return };
        entry.fetching = false;
        match outcome {
            Ok(keys) => {
                entry.next = Instant::now() + self.pace.refresh;
                entry.pause = self.pace.first_pause;
                let same = entry.keys.as_ref() == Ok(&keys);
                entry.keys = Ok(keys);
                if !same {
                    tracing::info!(%source, "keys of a token issuer fetched");
                    self.keep().await;
                }
            }
            Err(error) => {
                entry.next = Instant::now() + entry.pause;
                entry.pause = (entry.pause * 2).min(self.pace.longest_pause);
                match &mut entry.keys {
                    Ok(_) => {
                        tracing::warn!(%source, "keys cannot be fetched, so the last good ones stay: {error}")
                    }
                    Err(why) => {
                        tracing::warn!(%source, "keys cannot be fetched, so no token of theirs is accepted: {error}");
                        *why = error.to_string().into();
                    }
                }
            }
        }
        self.publish();
    }

    fn publish(&self) {
        let sets: KeySets =
            self.entries.iter().map(|(source, entry)| (source.clone(), entry.keys.clone())).collect();
        self.sets.send_if_modified(|known| {
            let different = **known != sets;
            *known = Arc::new(sets);
            different
        });
    }

    /// Writes the good keys to the state directory. Without them a restart costs a fetch.
    async fn keep(&mut self) {
        let good = |(source, entry): (&KeySource, &Entry)| {
            Some((source.to_string(), entry.keys.as_ref().ok()?.to_string()))
        };
        self.kept = self.entries.iter().filter_map(good).collect();
        let (state, kept) = (self.state.clone(), self.kept.clone());
        let write = move || {
            let bytes = serde_json::to_vec(&kept).unwrap_or_default();
            state.write(FILE, Access::Private, &bytes)
        };
        if let Ok(Err(error)) = tokio::task::spawn_blocking(write).await {
            tracing::warn!(%error, "the keys of token issuers are not kept for a restart");
        }
    }
}
