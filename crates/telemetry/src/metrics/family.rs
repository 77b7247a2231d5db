//! One metric name with labels: a bounded table from label values to instruments.

use std::collections::HashMap;
use std::sync::Arc;

use ambit_model::Text;
use parking_lot::Mutex;

use super::exposition::{Exposition, write_label};
use super::instrument::Instrument;
use super::registry::Collect;

/// Most series of one family. Further label values share one series whose values are all `overflow`.
pub const MOST_SERIES: usize = 1_000;

/// A metric family with `N` labels. Clones share it.
#[derive(Debug)]
pub struct Family<I, const N: usize>(Arc<Shared<I, N>>);

#[derive(Debug)]
struct Shared<I, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    series: Mutex<HashMap<[Text; N], I>>,
}

impl<I, const N: usize> Clone for Family<I, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: Instrument, const N: usize> Family<I, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self(Arc::new(Shared { name, help, labels, series: Mutex::default() }))
    }

    /// The instrument of these label values, made on first use. Keep it where it is used often: this takes a lock.
    pub fn with(&self, values: [&str; N]) -> I {
        let mut series = self.0.series.lock();
        let key = values.map(Text::from);
        if let Some(instrument) = series.get(&key) {
            return instrument.clone();
        }
        let full = series.len() >= MOST_SERIES;
        series.entry(if full { values.map(|_| Text::from("overflow")) } else { key }).or_default().clone()
    }

    /// Forgets the series of these label values; clones of its instrument count on unseen.
    pub fn remove(&self, values: [&str; N]) {
        self.0.series.lock().remove(&values.map(Text::from));
    }
}

impl<I: Instrument, const N: usize> Collect for Family<I, N> {
    fn collect(&self, out: &mut Exposition) {
        let series: Vec<_> = self
            .0
            .series
            .lock()
            .iter()
            .map(|(values, instrument)| (values.clone(), instrument.value()))
            .collect();
        let mut family = out.family(self.0.name, self.0.help, I::KIND);
        let mut labels = String::new();
        for (values, value) in series {
            labels.clear();
            for (name, text) in self.0.labels.iter().zip(&values) {
                write_label(&mut labels, name, text);
            }
            family.sample(&labels, value);
        }
    }
}
