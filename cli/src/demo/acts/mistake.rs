//! A mistake is made in the YAML.

use std::time::Duration;

use anyhow::Context;

use super::expect;
use crate::demo::event;
use crate::demo::resources::{self, MISTAKE};
use crate::demo::stage::Stage;

const FILE: &str = "mistake.yaml";
/// The controller must have refused it by then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Saves a policy with a misspelt field, and looks at what becomes of it.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A mistake changes nothing",
        "A policy for catalog says `principal` where `principals` is meant. Guessing could open or close too much.",
    );
    resources::write(&stage.place.config(), FILE, MISTAKE)?;
    let complaint = |line: &&String| line.contains(FILE) && line.contains("principal");
    let found = stage.ledger.until("the controller's complaint", PATIENCE, |book| {
        book.parts.get("controller")?.tail.iter().find(complaint).cloned()
    });
    let said = found.await.ok();
    let text = said.as_deref().map_or("nothing", |line| line.trim());
    event::note(format!("the controller says: {text}"));
    let row = stage.one_call("web", "GET", "http://catalog/items").await?;
    let detail = format!("{text}; {}", row.sentence());
    expect(
        "a mistake is refused by file and line, and what held goes on",
        said.is_some() && row.is_answered(),
        detail,
    );
    let path = stage.place.config().join(FILE);
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))
}
