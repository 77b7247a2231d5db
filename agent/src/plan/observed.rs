//! What is known of each pod, and how each outcome changes it. Pure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ambit_netns::NamespaceId;
use ambit_netns::rules::RedirectOptions;
use ambit_zds::WorkloadIdentity;

use crate::{Pods, Wanted};

/// What was seen of the node's pods, by uid.
pub type Sights = BTreeMap<String, Observed>;

/// What a pod's path led to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sight {
    /// Nobody has looked.
    #[default]
    Unseen,
    /// Nothing is there; why.
    Missing(String),
    /// Something is there that cannot be the pod's namespace; why.
    Refused(String),
    /// It could not be opened this time; why. What was there before may still be.
    Unreadable(String),
    /// A namespace, which is held open, so that its id stays its own.
    Seen(NamespaceId),
    /// A namespace that has no rules of ours any more and is not held.
    Cleared,
}

/// What is known of the rules in the namespace that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rules {
    /// Nothing.
    #[default]
    Unknown,
    /// They are in place, for these options.
    InPlace(RedirectOptions),
    /// None of ours is there.
    Absent,
    /// They could not be put in place or taken out; why.
    Failed(String),
}

/// What was seen of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// Where was looked.
    pub path: Option<PathBuf>,
    /// What was there.
    pub sight: Sight,
    /// It is time to look again.
    pub look_due: bool,
    /// The namespace was seen later than the resources were read: whose it is may have changed meanwhile, so it is not
    /// handed over before they have been read again (A28).
    pub unconfirmed: bool,
    /// The rules in `sight`.
    pub rules: Rules,
    /// It is time to verify them, or to try again.
    pub rules_due: bool,
    /// What ztunnel is given.
    pub handed: Option<(NamespaceId, WorkloadIdentity)>,
    /// The controller may believe that the pod is captured.
    pub announced: bool,
    /// A step is being taken.
    pub busy: bool,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            path: None,
            sight: Sight::Unseen,
            look_due: true,
            unconfirmed: false,
            rules: Rules::Unknown,
            rules_due: true,
            handed: None,
            announced: false,
            busy: false,
        }
    }
}

impl Observed {
    /// What a look at `path` showed. Another namespace than before is a new one: nothing is known of its rules.
    pub(crate) fn looked(&mut self, path: PathBuf, sight: Sight) {
        self.look_due = false;
        if self.sight != sight {
            (self.rules, self.rules_due) = (Rules::Unknown, true);
            self.unconfirmed = matches!(sight, Sight::Seen(_));
        }
        (self.path, self.sight) = (Some(path), sight);
    }

    /// The rules for `options` are in place, or could not be put there.
    pub(crate) fn enforced(&mut self, options: RedirectOptions, failure: Option<String>) {
        self.rules_due = false;
        self.rules = match failure {
            None => Rules::InPlace(options),
            Some(reason) => Rules::Failed(reason),
        };
    }

    /// No rules of ours are left, or they could not be taken out.
    pub(crate) fn cleared(&mut self, failure: Option<String>) {
        self.rules_due = false;
        match failure {
            None => (self.rules, self.sight) = (Rules::Absent, Sight::Cleared),
            Some(reason) => self.rules = Rules::Failed(reason),
        }
    }
}

/// Time to look at and verify every captured pod.
pub(crate) fn all_due(wanted: &Pods, observed: &mut Sights) {
    for (uid, seen) in observed {
        if wanted.get(uid).is_some_and(Wanted::is_enrolled) {
            (seen.look_due, seen.rules_due) = (true, true);
        }
    }
}

/// Time to try again what did not work.
pub(crate) fn failed_due(wanted: &Pods, observed: &mut Sights) {
    for (uid, seen) in observed {
        let enrolled = wanted.get(uid).is_some_and(Wanted::is_enrolled);
        let absent = matches!(seen.sight, Sight::Missing(_) | Sight::Refused(_) | Sight::Unreadable(_));
        seen.look_due |= enrolled && absent;
        if matches!(seen.rules, Rules::Failed(_)) {
            (seen.look_due, seen.rules_due) = (true, true);
        }
    }
}
