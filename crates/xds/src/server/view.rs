//! What one client may see.

use std::fmt;
use std::sync::Arc;

use ambit_model::Text;

use crate::Kind;

type Visible = dyn Fn(Kind, &str) -> bool + Send + Sync;

/// An admitted client: how it is called in reports, and what it may see. A resource that it may not see does not exist
/// for it, whether it asks for everything or by name.
#[derive(Clone)]
pub struct ClientView {
    name: Text,
    visible: Option<Arc<Visible>>,
    unasked: Vec<(Kind, Text)>,
}

impl ClientView {
    /// A client that may see everything.
    pub fn everything(name: impl Into<Text>) -> Self {
        Self { name: name.into(), visible: None, unasked: Vec::new() }
    }

    /// A client that may see the resources that `visible` says yes to. The answer must depend on kind and name only, and
    /// change only where the resource itself does, before that.
    pub fn only(name: impl Into<Text>, visible: impl Fn(Kind, &str) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), visible: Some(Arc::new(visible)), unasked: Vec::new() }
    }

    /// Has the client that asks by name be sent, unasked, what `name` stands for: a proxy waits for the workloads of its
    /// own node without asking for them.
    #[must_use]
    pub fn with_unasked(mut self, kind: Kind, name: impl Into<Text>) -> Self {
        self.unasked.push((kind, name.into()));
        self
    }

    /// How the client is called.
    pub fn name(&self) -> &Text {
        &self.name
    }

    pub(super) fn unasked(&self, kind: Kind) -> impl Iterator<Item = &Text> {
        self.unasked.iter().filter(move |(of, _)| *of == kind).map(|(_, name)| name)
    }

    pub(super) fn sees(&self, kind: Kind, name: &str) -> bool {
        self.visible.as_ref().is_none_or(|visible| visible(kind, name))
    }
}

impl fmt::Debug for ClientView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientView").field("name", &self.name).finish_non_exhaustive()
    }
}
