//! Every certificate is renewed while requests run.

use std::time::{Duration, Instant};

use super::expect;
use crate::demo::event;
use crate::demo::stage::Stage;

/// Certificates live 20 s and are renewed about half way.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the certificates.
const LOOK: Duration = Duration::from_millis(200);
/// Requests that must still come after the last renewal.
const AFTERWARDS: u64 = 50;

/// Puts web to work on cart until every certificate has been renewed.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "Certificates rotate under load",
        "web calls cart without a break, over kept and over new connections, until every certificate is another one.",
    );
    stage.ledger.change(|book| book.careless = true);
    let before = stage.serials().await?;
    let feed = stage.follow("web", "http://catalog/feed")?;
    stage.followed(feed, "the price feed", |follow| follow.pieces > 0).await?;
    let load = stage.load("web", "http://cart/items")?;
    let started = Instant::now();
    let mut renewed = 0;
    while renewed < before.len() && started.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        let now = stage.serials().await?;
        let count =
            before.iter().filter(|(who, serial)| now.get(*who).is_some_and(|new| new != *serial)).count();
        if count > renewed {
            event::note(format!("{count} of {} certificates renewed", before.len()));
        }
        renewed = count;
    }
    let so_far = stage.loaded(load, "the load", |load| load.requests > 0 || load.errors > 0).await?;
    let enough = so_far.requests + so_far.errors + AFTERWARDS;
    let done = stage.loaded(load, "the load", |load| load.requests + load.errors >= enough).await?;
    let open = stage.followed(feed, "the price feed", |_| true).await?;
    stage.stop("web", load)?;
    stage.stop("web", feed)?;
    let detail = format!(
        "{renewed} of {} certificates renewed within {:.1} s, {} requests over {} connections, {} errors{}; \
         a connection that was open all the time {}",
        before.len(),
        started.elapsed().as_secs_f64(),
        done.requests,
        done.connections,
        done.errors,
        done.first_error.as_ref().map_or_else(String::new, |error| format!(" (first: {error})")),
        open.ended.as_ref().map_or_else(|| "goes on".to_owned(), |reason| format!("ended: {reason}")),
    );
    event::note(detail.clone());
    let all = renewed == before.len() && !before.is_empty();
    expect(
        "certificates rotate under load without an error",
        all && done.errors == 0 && open.ended.is_none(),
        detail,
    );
    stage.ledger.change(|book| book.careless = false);
    Ok(())
}
