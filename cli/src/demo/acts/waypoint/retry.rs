//! Requests are made to fail, and a retry hides it.

use std::time::Instant;

use anyhow::Context;

use super::expect;
use crate::demo::event;
use crate::demo::request::Request;
use crate::demo::resources::{self, FAULT, FAULT_TEXT, RETRY, ROUTE, ROUTE_TEXT};
use crate::demo::stage::Stage;
use crate::demo::through::IN_FORCE;

/// The page that offers asks prices for.
const URL: &str = "http://offers/best";
const REQUESTS: usize = 40;

/// Breaks prices, and lets the route to offers ask again.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A fault, and a retry that hides it",
        "To answer web, offers asks prices. The waypoint is told to fail 40 % of the requests to prices, and then to \
         try again what offers could not answer.",
    );
    resources::write(&stage.place.config(), FAULT, FAULT_TEXT)?;
    stage.ask_until(URL, |request| request.is(502)).await?;
    event::note(format!("{FAULT} saved: a VirtualService that aborts"));
    let broken = Count::of(&stage.ask_often(URL, REQUESTS).await?);
    event::note(broken.sentence());
    expect(
        "a fault fails a share of the requests, and the log flags it",
        broken.is_broken(),
        broken.sentence(),
    );
    resources::write(&stage.place.config(), ROUTE, &format!("{ROUTE_TEXT}{RETRY}"))?;
    stage.ask_until(URL, |request| request.is(200) && request.inner.len() > 1).await?;
    event::note(format!("{ROUTE} saved, with a retry added"));
    let hidden = Count::of(&stage.ask_often(URL, REQUESTS).await?);
    event::note(hidden.sentence());
    expect("a retry hides it: the client sees no error", hidden.is_hidden(), hidden.sentence());
    resources::write(&stage.place.config(), ROUTE, ROUTE_TEXT)?;
    let path = stage.place.config().join(FAULT);
    std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    mended(stage).await
}

/// Waits until nothing is aborted any more; that is judged by what comes next.
async fn mended(stage: &Stage) -> anyhow::Result<()> {
    let removed = Instant::now();
    loop {
        let requests = stage.ask_often("http://prices/today", REQUESTS).await?;
        if requests.iter().all(|request| request.is(200)) || removed.elapsed() > IN_FORCE {
            return Ok(());
        }
    }
}

/// What became of requests to offers, and of those that it made to prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    all: usize,
    answered: usize,
    inner: usize,
    aborted: usize,
}

impl Count {
    fn of(requests: &[Request]) -> Self {
        let inner = || requests.iter().flat_map(|request| &request.inner);
        Self {
            all: requests.len(),
            answered: requests.iter().filter(|request| request.is(200)).count(),
            inner: inner().count(),
            aborted: inner().filter(|told| told.status == 503 && told.has_flag("FI")).count(),
        }
    }

    /// One request to prices for each of the client's, and the client's errors are the aborted ones.
    fn is_broken(self) -> bool {
        self.inner == self.all
            && self.aborted > 0
            && self.answered == self.all - self.aborted
            && self.answered > 0
    }

    /// Some were aborted, none of the client's failed, and as many more came to prices.
    fn is_hidden(self) -> bool {
        self.answered == self.all && self.aborted > 0 && self.inner == self.all + self.aborted
    }

    fn sentence(self) -> String {
        let Self { all, answered, inner, aborted } = self;
        format!(
            "{answered} of {all} requests of web answered with 200; \
             the waypoint logged {inner} requests to prices, {aborted} of them aborted (503 FI)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(answered: usize, inner: usize, aborted: usize) -> Count {
        Count { all: 40, answered, inner, aborted }
    }

    #[test]
    fn a_fault_is_seen_and_a_retry_hides_it() {
        assert!(count(25, 40, 15).is_broken());
        for wrong in [count(40, 40, 0), count(0, 40, 40), count(24, 40, 15), count(25, 41, 15)] {
            assert!(!wrong.is_broken(), "{wrong:?}");
        }
        assert!(count(40, 66, 26).is_hidden());
        for wrong in [count(40, 40, 0), count(39, 66, 26), count(40, 65, 26), count(40, 40, 26)] {
            assert!(!wrong.is_hidden(), "{wrong:?}");
        }
    }
}
