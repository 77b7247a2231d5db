//! How connections end.

use ambit_tests::exchange::{self, End};
use ambit_tests::http;
use ambit_tests::pod::Pod;
use ambit_tests::topology::SIDES;

use crate::scenario::Outcome;
use crate::stage::Stage;

/// Istio's ztunnel ends its side of a stream in order when its application resets, or when the stream is reset.
const RESET_AS_END: &str =
    "through an Istio ztunnel, as either peer, an application's reset arrives as an orderly end";

pub(crate) fn half_close_client(stage: &mut Stage) -> Outcome {
    for pod in [&stage.near, &stage.far] {
        exchange::half_close_by_the_client(stage.web.netns(), pod);
    }
    Outcome::Same
}

pub(crate) fn half_close_server(stage: &mut Stage) -> Outcome {
    for pod in [&stage.near, &stage.far] {
        exchange::half_close_by_the_server(stage.web.netns(), pod);
    }
    Outcome::Same
}

pub(crate) fn reset_by_server(stage: &mut Stage) -> Outcome {
    resets(stage, |from, pod| exchange::reset_by_the_server(from.netns(), pod))
}

pub(crate) fn reset_by_client(stage: &mut Stage) -> Outcome {
    resets(stage, |from, pod| exchange::reset_by_the_client(from.netns(), pod))
}

fn resets(stage: &Stage, end: impl Fn(&Pod, &Pod) -> End) -> Outcome {
    let ends = [&stage.near, &stage.far].map(|pod| (pod, end(&stage.web, pod)));
    let mut outcome = Outcome::Same;
    for (pod, end) in ends {
        // Both proxies on the way are ours: nothing excuses another end.
        let foreign = SIDES
            .iter()
            .any(|side| stage.kind(*side).theirs() && [stage.web.spec.side, pod.spec.side].contains(side));
        match end {
            End::Reset => {}
            End::Orderly if foreign => outcome = Outcome::Differs(RESET_AS_END),
            End::Orderly => panic!("the reset arrived as an orderly end at {}", pod.spec.name),
        }
    }
    outcome
}

/// Nobody listens: the client learns it, and does not hang.
pub(crate) fn closed_port(stage: &mut Stage) -> Outcome {
    for to in [stage.near.at(9999), stage.far.at(9999), stage.far.at6(9999)] {
        let refused = http::get(stage.web.netns(), to, "/").unwrap_err();
        let hung = matches!(refused.kind(), std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock);
        assert!(!hung, "{to}: {refused}");
    }
    Outcome::Same
}
