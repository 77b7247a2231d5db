//! How far a pod has come, in words for an operator.

use std::fmt;

use ambit_kubernetes::{NotEnrolledReason, annotations};
use ambit_zds::registry::PodStatus;

use super::{Observed, Rules, Scene, Sight};
use crate::{Membership, Wanted};

/// How far a pod has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is not to be captured, and is not.
    Outside(NotEnrolledReason),
    /// It is not to be captured any more, and still is.
    Leaving,
    /// Its namespace or its rules are being seen to.
    Working,
    /// It cannot be captured; why, and what to do.
    Blocked(String),
    /// Its rules are in place and ztunnel has not answered.
    Waiting,
    /// Its rules are in place and ztunnel could not take it; why.
    Rejected(String),
    /// Its rules are in place and ztunnel serves it.
    Captured,
}

impl Standing {
    /// One word for machines.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Outside(_) => "outside",
            Self::Leaving => "leaving",
            Self::Working => "working",
            Self::Blocked(_) => "blocked",
            Self::Waiting => "waiting",
            Self::Rejected(_) => "rejected",
            Self::Captured => "captured",
        }
    }

    /// Whether it is what it should be, or somebody was told why not.
    pub fn is_explained(&self) -> bool {
        !matches!(self, Self::Working | Self::Waiting | Self::Leaving)
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(reason) => write!(f, "not enrolled: {reason}"),
            Self::Leaving => f.write_str("leaving the mesh"),
            Self::Working => f.write_str("being captured"),
            Self::Blocked(reason) => f.write_str(reason),
            Self::Waiting => f.write_str("rules in place, ztunnel has not answered yet"),
            Self::Rejected(reason) => {
                write!(f, "ztunnel could not take it: {reason}; it is tried again, see ztunnel's log")
            }
            Self::Captured => f.write_str("captured"),
        }
    }
}

/// How far the pod `uid` has come. `status` is what ztunnel said of it.
pub(crate) fn standing(
    scene: &Scene<'_>,
    uid: &str,
    pod: &Wanted,
    seen: &Observed,
    status: Option<PodStatus>,
) -> Standing {
    if let Membership::Outside(reason) = pod.membership {
        let in_place = matches!(seen.rules, Rules::InPlace(_) | Rules::Failed(_))
            && matches!(seen.sight, Sight::Seen(_));
        return if seen.handed.is_some() || in_place { Standing::Leaving } else { Standing::Outside(reason) };
    }
    if pod.path.is_none() {
        let remedy = format!(
            "it has no annotation {}: add it with the path of the pod's network namespace",
            annotations::NETNS
        );
        return Standing::Blocked(remedy);
    }
    match &seen.sight {
        Sight::Unseen | Sight::Cleared => Standing::Working,
        Sight::Missing(reason) | Sight::Refused(reason) | Sight::Unreadable(reason) => {
            Standing::Blocked(reason.clone())
        }
        Sight::Seen(id) if scene.owner(*id) != Some(uid) => Standing::Blocked(format!(
            "its network namespace {id} is also that of pod {}: give each pod its own",
            scene.rivals(*id, uid).join(" and ")
        )),
        Sight::Seen(_) => match (&seen.rules, seen.handed.is_some(), status) {
            (Rules::Failed(reason), _, _) => Standing::Blocked(reason.clone()),
            (Rules::InPlace(_), true, Some(PodStatus::Accepted)) => Standing::Captured,
            (Rules::InPlace(_), true, Some(PodStatus::Failed(reason))) => Standing::Rejected(reason),
            (Rules::InPlace(_), true, _) => Standing::Waiting,
            _ => Standing::Working,
        },
    }
}
