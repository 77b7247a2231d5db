//! A policy is edited while a connection is open.

use std::time::{Duration, Instant};

use super::{expect, expect_row};
use crate::demo::event;
use crate::demo::resources::{self, CLOSED_CATALOG, POLICIES, POLICY_TEXT};
use crate::demo::stage::Stage;

/// Pieces of the feed that must have come before the edit.
const PIECES: u64 = 10;
/// An edit must be in force by then.
const IN_FORCE: Duration = Duration::from_secs(2);
/// Between two looks at whether access is back.
const LOOK: Duration = Duration::from_millis(50);

/// Closes catalog to web while web reads from it, and opens it again.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A policy edit reaches an open connection",
        "web and cart read catalog's endless price feed. Then catalog is closed to web, in one YAML file.",
    );
    let spared = stage.follow("cart", "http://catalog/feed")?;
    stage.followed(spared, "the price feed", |follow| follow.pieces > 0).await?;
    let number = stage.follow("web", "http://catalog/feed")?;
    let before = stage.followed(number, "the price feed", |follow| follow.pieces >= PIECES).await?;
    event::note(format!("{} pieces of the feed have come, both connections are open", before.pieces));
    resources::write(&stage.place.config(), POLICIES, &format!("{POLICY_TEXT}{CLOSED_CATALOG}"))?;
    let edited = Instant::now();
    event::note(format!("{POLICIES} saved, with a DENY policy added"));
    let after = stage.followed(number, "the end of the price feed", |follow| follow.ended.is_some()).await?;
    let took = edited.elapsed();
    let row = stage.verdict_on("web", "catalog", "GET /feed", &after).await?;
    let cut = row.is_denied_by("/catalog-not-web") && took <= IN_FORCE;
    let detail = format!("cut {} ms after the file was saved: {}", took.as_millis(), row.sentence());
    expect("an edit cuts an open connection within 2 s", cut, detail);
    let seen = stage.followed(spared, "the price feed", |_| true).await?.pieces;
    let goes_on = stage
        .followed(spared, "cart's price feed", |follow| follow.pieces > seen || follow.ended.is_some())
        .await?;
    stage.stop("cart", spared)?;
    let detail = match &goes_on.ended {
        None => format!("cart's connection goes on, {} pieces so far", goes_on.pieces),
        Some(reason) => format!("cart's connection ended as well: {reason}"),
    };
    expect("it leaves the open connection of another alone", goes_on.ended.is_none(), detail);
    let denied = stage.one_call("web", "GET", "http://catalog/items").await?;
    let other = stage.one_call("cart", "GET", "http://catalog/items").await?;
    let exact = denied.is_denied_by("/catalog-not-web") && other.is_answered();
    expect(
        "it refuses new ones of web, and of nobody else",
        exact,
        format!("{}; {}", denied.sentence(), other.sentence()),
    );
    restore(stage).await
}

async fn restore(stage: &Stage) -> anyhow::Result<()> {
    resources::write(&stage.place.config(), POLICIES, POLICY_TEXT)?;
    let restored = Instant::now();
    event::note(format!("{POLICIES} saved, as it was"));
    loop {
        let rows = stage.quiet_call("web", "GET", "http://catalog/items").await?;
        let answered = rows.iter().all(|row| row.is_answered());
        if answered || restored.elapsed() > IN_FORCE {
            let row = stage.one_call("web", "GET", "http://catalog/items").await?;
            expect_row("taking it back opens the way again", row.is_answered(), &row);
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
