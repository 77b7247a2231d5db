//! One copy of what many resources repeat: namespaces, nodes, networks, service names, the ports of
//! a service, what workloads have alike.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use ambit_model::Text;
use ambit_model::identity::Home;
use ambit_model::service::Port;
use ambit_model::workload::Traits;
use foldhash::fast::RandomState;

/// Fewest texts that are kept before unused ones are looked for.
const FLOOR: usize = 1024;

/// Shared texts, and lists of ports. Those that nobody else holds any more are dropped whenever the number has doubled.
#[derive(Debug, Default)]
pub struct Texts {
    texts: Shared<str>,
    ports: Shared<[Port]>,
    homes: Shared<Home>,
    traits: Shared<Traits>,
}

#[derive(Debug)]
struct Shared<T: ?Sized> {
    known: HashSet<Arc<T>, RandomState>,
    sweep_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { known: HashSet::default(), sweep_at: 0 }
    }
}

impl Texts {
    /// The shared copy of a text.
    pub fn share(&mut self, text: &str) -> Text {
        self.texts.share(text, |text| Text::from(text))
    }

    /// The shared copy of a list of ports.
    pub fn share_ports(&mut self, ports: Vec<Port>) -> Arc<[Port]> {
        self.ports.share(&ports, |ports| Arc::from(ports))
    }

    /// The shared copy of a namespace of a trust domain.
    pub fn share_home(&mut self, home: &Home) -> Arc<Home> {
        self.homes.share(home, |home| Arc::new(home.clone()))
    }

    /// The shared copy of what workloads have alike.
    pub fn share_traits(&mut self, traits: &Traits) -> Arc<Traits> {
        self.traits.share(traits, |traits| Arc::new(traits.clone()))
    }
}

impl<T: Eq + Hash + ?Sized> Shared<T> {
    fn share(&mut self, value: &T, new: impl Fn(&T) -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.known.get(value) {
            return known.clone();
        }
        if self.known.len() >= self.sweep_at.max(FLOOR) {
            self.known.retain(|value| Arc::strong_count(value) > 1);
            self.sweep_at = self.known.len() * 2;
        }
        let value = new(value);
        self.known.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_unused_ones_go() {
        let mut texts = Texts::default();
        let kept = texts.share("kept");
        assert!(Text::ptr_eq(&kept, &texts.share("kept")));
        for number in 0..10 * FLOOR {
            texts.share(&number.to_string());
        }
        let kept_now = texts.texts.known.len();
        assert!(kept_now <= FLOOR + 1, "{kept_now} texts are kept");
        assert!(Text::ptr_eq(&kept, &texts.share("kept")));
    }
}
