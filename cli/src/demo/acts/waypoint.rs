//! Requests go through a waypoint: one act for each thing that it does with them.

mod breaker;
mod canary;
mod retry;
mod token;

use super::{expect, expect_request};
use crate::demo::stage::Stage;

/// Performs them. Each leaves the YAML as it found it.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    // The waypoint's log tells of these; nobody claims what the ztunnels on the way say.
    stage.ledger.change(|book| book.careless = true);
    canary::perform(stage).await?;
    retry::perform(stage).await?;
    token::perform(stage).await?;
    breaker::perform(stage).await?;
    stage.ledger.change(|book| {
        book.careless = false;
        book.lines.clear();
    });
    Ok(())
}
