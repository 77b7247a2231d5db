//! A pod fails again and again, and is left alone for a while.

use std::time::Instant;

use super::{expect, expect_request};
use crate::demo::event;
use crate::demo::stage::Stage;

const BROKEN: &str = "http://prices/broken";
const GOOD: &str = "http://prices/today";
/// Failures in a row that open the breaker: `consecutive5xxErrors`.
const FAILURES: usize = 3;

/// Opens the breaker, and waits until it closes.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A circuit breaker",
        "prices has a page with a bug. A DestinationRule says that three errors in a row are enough: for two seconds \
         nobody asks it, then one request tries whether it is well.",
    );
    let before = stage.ask_until(GOOD, |request| request.is_answered_by("prices")).await?;
    let mut failed = 0;
    for _ in 0..FAILURES {
        let request = stage.ask(BROKEN, None).await?;
        failed += usize::from(request.is(500) && request.told.answered_by.as_deref() == Some("prices"));
    }
    let opened = Instant::now();
    let refused = stage.ask(GOOD, None).await?;
    let open = before.is_some() && failed == FAILURES && refused.is_refused(503, "UH");
    expect_request("after three errors in a row nobody asks the pod: 503 UH", open, &refused);
    let back = stage.ask_until(GOOD, |request| request.is_answered_by("prices")).await?;
    let Some((request, _)) = back else {
        expect("it is asked again when its time is over", false, "it was not");
        return Ok(());
    };
    event::tell(&event::Event::Request(request.clone()));
    let detail = format!("{} ms later {}", opened.elapsed().as_millis(), request.sentence());
    expect("it is asked again when its time is over", true, detail);
    Ok(())
}
