//! A client that names what it wants.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ambit_model::Text;
use foldhash::fast::RandomState;

use super::batch::{Batch, Full};
use crate::Kind;
use crate::server::service::Lookup;
use crate::server::store::Table;
use crate::server::{ClientView, Store};

/// What was asked for, and what was sent. These clients ask for little, so each of their names is remembered.
#[derive(Default)]
pub(super) struct Named {
    asked: BTreeSet<Text>,
    /// Name of a resource to the number of the change that was sent.
    sent: HashMap<Text, u64, RandomState>,
    /// Asked names that the client was told are names of no resource. A name that only stands for others is one too:
    /// whoever asked waits for an answer by that very name (Istio's control plane answers so).
    absent: HashSet<Text, RandomState>,
}

impl Named {
    /// A client that has these versions; it goes on wanting them.
    pub(super) fn open(store: &Store, kind: Kind, versions: &BTreeMap<String, String>) -> Self {
        let mut named = Self::default();
        let table = store.read(kind);
        for (name, version) in versions {
            let name = Text::from(&**name);
            if let Some((sequence, resource)) = table.entry(&name)
                && resource.has_version(version)
            {
                named.sent.insert(name.clone(), sequence);
            }
            named.asked.insert(name);
        }
        named
    }

    /// Asks for names. One that is asked for again is answered again.
    pub(super) fn subscribe(&mut self, names: &[String]) {
        for name in names.iter().filter(|name| *name != "*") {
            self.sent.remove(&**name);
            self.absent.remove(&**name);
            self.asked.insert(Text::from(&**name));
        }
    }

    pub(super) fn unsubscribe(&mut self, names: &[String]) {
        for name in names {
            self.sent.remove(&**name);
            self.absent.remove(&**name);
            self.asked.remove(&**name);
        }
    }

    /// Fills a batch; whether more is left.
    pub(super) fn fill(
        &mut self,
        batch: &mut Batch,
        store: &Store,
        kind: Kind,
        view: &ClientView,
        lookup: &dyn Lookup,
    ) -> bool {
        // Looked up before the table is locked: the look-up may read the store itself.
        let meant: Vec<(Text, Vec<Text>)> =
            self.asked.iter().map(|asked| (asked.clone(), lookup.resolve(kind, asked))).collect();
        let unasked: Vec<Text> = view.unasked(kind).flat_map(|name| lookup.resolve(kind, name)).collect();
        let table = store.read(kind);
        self.fill_from(batch, &table, |name| view.sees(kind, name), &meant, &unasked).is_err()
    }

    fn fill_from(
        &mut self,
        batch: &mut Batch,
        table: &Table,
        sees: impl Fn(&str) -> bool,
        meant: &[(Text, Vec<Text>)],
        unasked: &[Text],
    ) -> Result<(), Full> {
        let mut wanted: HashSet<&Text, RandomState> = HashSet::default();
        for name in meant.iter().flat_map(|(_, names)| names).chain(unasked).filter(|name| sees(name)) {
            let Some((sequence, resource)) = table.entry(name) else { continue };
            wanted.insert(name);
            if self.sent.get(name) != Some(&sequence) {
                batch.set(resource)?;
                self.sent.insert(name.clone(), sequence);
            }
        }
        for (asked, _) in meant {
            if wanted.contains(asked) {
                self.absent.remove(asked);
            } else if !self.absent.contains(asked) {
                batch.remove(asked)?;
                self.sent.remove(asked);
                self.absent.insert(asked.clone());
            }
        }
        let stale: Vec<Text> = self.sent.keys().filter(|name| !wanted.contains(name)).cloned().collect();
        for name in stale {
            batch.remove(&name)?;
            self.sent.remove(&name);
        }
        Ok(())
    }
}
