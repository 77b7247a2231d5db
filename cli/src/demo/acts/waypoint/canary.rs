//! A new version gets a tenth of the requests, then all of them.

use std::time::Instant;

use super::{expect, expect_request};
use crate::demo::event;
use crate::demo::plan::Pod;
use crate::demo::request::Request;
use crate::demo::resources::{self, ROUTE, ROUTE_TEXT};
use crate::demo::stage::Stage;
use crate::demo::through::{CLIENT, IN_FORCE};

const URL: &str = "http://offers/items";
/// Requests before the edit, and how many of them may come to a version that is to get a tenth: chance leaves that range
/// less than once in 100,000 shows.
const BEFORE: usize = 300;
const TENTH: std::ops::RangeInclusive<usize> = 9..=60;
/// Requests after it.
const AFTER: usize = 100;

/// Moves the canary.
pub(crate) async fn perform(stage: &Stage) -> anyhow::Result<()> {
    event::section(
        "A canary",
        "Requests to offers go through a waypoint, a proxy that reads HTTP. It sends one of ten to a new version. \
         Then the weights 90 and 10 become 0 and 100, in one YAML file.",
    );
    let first = stage.ask(URL, None).await?;
    let identity = Pod::named(CLIENT).map(Pod::identity);
    let known = first.is(200) && first.told.client == identity;
    expect_request("a request goes through the waypoint, which knows who asks", known, &first);
    let counted = Count::of(&stage.ask_often(URL, BEFORE).await?);
    event::note(counted.sentence());
    expect(
        "a canary of weight 10 gets about a tenth of the requests",
        counted.is_canary(),
        counted.sentence(),
    );
    let moved = ROUTE_TEXT.replace("weight: 10", "weight: 100").replace("weight: 90", "weight: 0");
    resources::write(&stage.place.config(), ROUTE, &moved)?;
    let edited = Instant::now();
    event::note(format!("{ROUTE} saved, with weights 0 and 100"));
    let in_force = loop {
        let counted = Count::of(&stage.ask_often(URL, 20).await?);
        if counted.is_moved() || edited.elapsed() > IN_FORCE {
            break edited.elapsed();
        }
    };
    let counted = Count::of(&stage.ask_often(URL, AFTER).await?);
    event::note(counted.sentence());
    let detail =
        format!("within {} ms after the file was saved; then {}", in_force.as_millis(), counted.sentence());
    expect("an edit sends all requests to the new version", counted.is_moved(), detail);
    resources::write(&stage.place.config(), ROUTE, ROUTE_TEXT)
}

/// Who answered how many requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Count {
    all: usize,
    old: usize,
    new: usize,
}

impl Count {
    fn of(requests: &[Request]) -> Self {
        let by = |pod| requests.iter().filter(|request| request.is_answered_by(pod)).count();
        Self { all: requests.len(), old: by("offers"), new: by("offers-v2") }
    }

    fn is_canary(self) -> bool {
        self.old + self.new == self.all && TENTH.contains(&self.new)
    }

    fn is_moved(self) -> bool {
        self.new == self.all && self.all > 0
    }

    fn sentence(self) -> String {
        let Self { all, old, new } = self;
        let lost = match all - old - new {
            0 => String::new(),
            some => format!(", nobody {some}"),
        };
        format!("of {all} requests offers answered {old}, offers-v2 {new}{lost}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_gets_its_share_and_nobody_is_lost() {
        let count = |old, new| Count { all: BEFORE, old, new };
        assert!(count(270, 30).is_canary());
        for wrong in [count(300, 0), count(150, 150), count(269, 30), count(0, 300)] {
            assert!(!wrong.is_canary(), "{wrong:?}");
        }
        assert!(count(0, 300).is_moved() && !count(1, 299).is_moved() && !count(0, 299).is_moved());
        assert!(!Count { all: 0, old: 0, new: 0 }.is_moved());
        assert!(count(0, 299).sentence().ends_with("offers-v2 299, nobody 1"));
    }
}
