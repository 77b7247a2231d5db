//! A client that wants everything: the log from where it is, after what it lacks from before.

use std::collections::{BTreeMap, VecDeque};

use ambit_model::Text;
use tonic::Status;

use super::batch::{Batch, Full};
use crate::Kind;
use crate::server::store::{Cursor, Table};
use crate::server::{ClientView, Store};

/// Where a client is.
pub(super) struct Everything {
    cursor: Cursor,
    /// The last change that was sent.
    position: u64,
    /// Removals up to here concern nothing that the client has.
    opened_at: u64,
    /// Names that a resuming client lacks or has in another version, of changes up to `position`.
    lacking: VecDeque<Text>,
    /// Names that a resuming client has and that are no more.
    gone: VecDeque<Text>,
}

impl Everything {
    /// A client that has these versions. One that has none is sent the log from its beginning.
    pub(super) fn open(
        store: &Store,
        kind: Kind,
        view: &ClientView,
        versions: &BTreeMap<String, String>,
    ) -> Self {
        let (cursor, (opened_at, lacking, gone)) = store.follow(kind, |table| {
            let (lacking, gone) =
                if versions.is_empty() { Default::default() } else { compare(table, kind, view, versions) };
            (table.last(), lacking, gone)
        });
        let position = if versions.is_empty() { 0 } else { opened_at };
        Self { cursor, position, opened_at, lacking, gone }
    }

    /// Fills a batch; whether more is left.
    pub(super) fn fill(
        &mut self,
        batch: &mut Batch,
        store: &Store,
        kind: Kind,
        view: &ClientView,
    ) -> Result<bool, Status> {
        let table = store.read(kind);
        if self.position.max(self.opened_at) < table.forgotten() {
            return Err(Status::aborted("too far behind; open the stream again with the versions you have"));
        }
        let full = self.fill_from(batch, &table, kind, view).is_err();
        self.cursor.advance(self.position.max(self.opened_at));
        Ok(full)
    }

    fn fill_from(
        &mut self,
        batch: &mut Batch,
        table: &Table,
        kind: Kind,
        view: &ClientView,
    ) -> Result<(), Full> {
        while let Some(name) = self.gone.front() {
            // What came back since is in the log.
            if table.resource(name).is_none_or(|_| !view.sees(kind, name)) {
                batch.remove(name)?;
            }
            self.gone.pop_front();
        }
        while let Some(name) = self.lacking.front() {
            match table.entry(name) {
                Some((sequence, resource)) if sequence <= self.position => batch.set(resource)?,
                // What changed since is in the log.
                _ => {}
            }
            self.lacking.pop_front();
        }
        for (sequence, name, resource) in table.after(self.position) {
            if view.sees(kind, name) {
                match resource {
                    Some(resource) => batch.set(resource)?,
                    None if sequence > self.opened_at => batch.remove(name)?,
                    None => {}
                }
            }
            self.position = sequence;
        }
        Ok(())
    }
}

fn compare(
    table: &Table,
    kind: Kind,
    view: &ClientView,
    versions: &BTreeMap<String, String>,
) -> (VecDeque<Text>, VecDeque<Text>) {
    let lacking = table
        .resources()
        .filter(|resource| versions.get(&**resource.name()).is_none_or(|have| !resource.has_version(have)))
        .filter(|resource| view.sees(kind, resource.name()))
        .map(|resource| resource.name().clone())
        .collect();
    let gone = versions
        .keys()
        .filter(|name| table.resource(name).is_none() || !view.sees(kind, name))
        .map(|name| Text::from(&**name))
        .collect();
    (lacking, gone)
}
