//! `istio_tcp_*` and `istio_request*`: what connections and requests are counted in.
//!
//! Each worker counts in series of its own, so that no counter is shared between threads; a scrape adds up the series
//! with the same labels. The number of label sets is limited, and those that nobody uses any more are forgotten: a
//! node's memory does not grow with the peers it has ever seen.

mod collect;
mod directory;
mod histogram;
mod series;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::metrics::{Collect, Exposition, Registry};
use directory::Directory;
use worker::Shard;

pub use series::Series;
pub use worker::{OpenSocket, Worker};

/// How much may be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrafficLimits {
    /// Most sets of labels. Further traffic is counted in series whose names are all `overflow`.
    pub series: usize,
    /// A set of labels without traffic for this long, and without open connections, is forgotten.
    pub idle: Duration,
}

impl Default for TrafficLimits {
    fn default() -> Self {
        Self { series: 10_000, idle: Duration::from_secs(30 * 60) }
    }
}

/// The traffic metrics of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Traffic(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: TrafficLimits,
    hasher: RandomState,
    directory: Mutex<Directory>,
    shards: Mutex<Vec<Arc<Shard>>>,
    /// Held by a scrape or a sweep, so that no total is seen half moved. Workers never take it.
    collecting: Mutex<()>,
}

impl Traffic {
    /// Traffic metrics that appear in `registry`.
    pub fn register(registry: &Registry, limits: TrafficLimits) -> Self {
        let traffic = Self(Arc::new(Shared {
            limits,
            hasher: RandomState::default(),
            directory: Mutex::default(),
            shards: Mutex::default(),
            collecting: Mutex::default(),
        }));
        registry.register(traffic.clone());
        traffic
    }

    /// Series for one worker thread. Call it once per thread: what it counts stays until the process ends.
    pub fn worker(&self) -> Worker {
        let shard = Arc::<Shard>::default();
        self.0.shards.lock().push(shard.clone());
        Worker::new(self.0.clone(), shard)
    }

    /// Forgets label sets that have been idle. Every scrape does this too; call it from a timer where nobody scrapes.
    pub fn expire(&self, now: Instant) {
        self.0.expire(now);
    }
}

impl Collect for Traffic {
    fn collect(&self, out: &mut Exposition) {
        self.0.expire(Instant::now());
        self.0.write(out);
    }
}
