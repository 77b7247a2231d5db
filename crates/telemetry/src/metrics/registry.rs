//! The one list of everything that is scraped from this process.

use std::sync::Arc;

use parking_lot::Mutex;

use super::exposition::{Exposition, Format};
use super::family::Family;
use super::instrument::{Counter, Gauge, Instrument};
use super::process::ProcessMetrics;

/// A source of metric families, read at every scrape on the thread that asks.
pub trait Collect: Send + Sync {
    /// Writes its families as they are now.
    fn collect(&self, out: &mut Exposition);
}

/// The metrics of this process. Clones share it.
#[derive(Clone)]
pub struct Registry(Arc<Mutex<Vec<Arc<dyn Collect>>>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("sources", &self.0.lock().len()).finish()
    }
}

impl Registry {
    /// A registry with `istio_build{component, tag}`, `process_open_fds` and `process_max_fds`.
    pub fn new(component: &str, tag: &str) -> Self {
        let registry = Self(Arc::default());
        registry
            .gauge_family("istio_build", "Istio component build facts", ["component", "tag"])
            .with([component, tag])
            .set(1);
        registry.register(ProcessMetrics);
        registry
    }

    /// Adds a source.
    pub fn register(&self, source: impl Collect + 'static) {
        self.0.lock().push(Arc::new(source));
    }

    /// A counter without labels. `name` is without `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        self.family(name, help, []).with([])
    }

    /// A gauge without labels.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        self.family(name, help, []).with([])
    }

    /// Counters by label values. `name` is without `_total`.
    pub fn counter_family<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Family<Counter, N> {
        self.family(name, help, labels)
    }

    /// Gauges by label values.
    pub fn gauge_family<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Family<Gauge, N> {
        self.family(name, help, labels)
    }

    fn family<I: Instrument, const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [&'static str; N],
    ) -> Family<I, N> {
        let family = Family::new(name, help, labels);
        self.register(family.clone());
        family
    }

    /// Everything as text, with its content type, in the format that the `Accept` header asks for (`""` for none).
    pub fn encode(&self, accept: &str) -> (&'static str, String) {
        let format = Format::negotiate(accept);
        let sources = self.0.lock().clone();
        let mut out = Exposition::new(format);
        for source in sources {
            source.collect(&mut out);
        }
        (format.content_type(), out.finish())
    }
}
