//! What is to be done next for each pod, given what is wanted and what was seen. Pure: no I/O, no clock.
//!
//! Each step's outcome is put into [`Observed`], and the plan is asked again, until it has nothing more to say.
//! What holds in every plan:
//! - rules are never removed from a namespace that an enrolled pod has, or may have;
//! - a namespace is never handed over for two pods, and never before its rules are in place;
//! - a namespace is never handed over on the word of resources that were read before it was seen;
//! - a pod that leaves keeps its rules and its proxy until the controller has been told (or a limit has passed).

mod observed;
mod standing;
#[cfg(test)]
mod tests;

pub use observed::{Observed, Rules, Sight, Sights};
pub(crate) use observed::{all_due, failed_due};
pub use standing::Standing;
pub(crate) use standing::standing;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use ambit_netns::NamespaceId;
use ambit_netns::rules::RedirectOptions;

use crate::{Membership, Pods, Wanted};

/// One thing to do for one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Open what is at the path.
    Look(PathBuf),
    /// Bring the namespace that was seen to exactly these rules.
    Enforce(RedirectOptions),
    /// Take all rules of ours out of the namespace that was seen.
    Clear,
    /// Give the namespace that was seen to ztunnel.
    Hand,
    /// Take the pod from ztunnel.
    Withdraw,
    /// Nothing is left of the pod.
    Forget,
}

/// The next step of each pod that has one, by uid. Steps of different pods may be taken at the same time.
pub fn plan(wanted: &Pods, observed: &Sights) -> Vec<(String, Step)> {
    let scene = Scene::new(wanted, observed);
    let uids: BTreeSet<&String> = wanted.keys().chain(observed.keys()).collect();
    uids.into_iter().filter_map(|uid| Some((uid.clone(), scene.next(uid)?))).collect()
}

/// Everything that a decision on one pod needs to know of the others.
pub(crate) struct Scene<'a> {
    wanted: &'a Pods,
    observed: &'a Sights,
    /// The enrolled pods that have each namespace.
    holders: HashMap<NamespaceId, Vec<&'a str>>,
    /// The pods for which each namespace is handed over.
    handed: HashMap<NamespaceId, Vec<&'a str>>,
    /// Namespaces in which something is being done.
    busy: HashSet<NamespaceId>,
    /// Some enrolled pod's namespace is not known yet: it may be any.
    searching: bool,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(wanted: &'a Pods, observed: &'a Sights) -> Self {
        let mut scene = Self {
            wanted,
            observed,
            holders: HashMap::new(),
            handed: HashMap::new(),
            busy: HashSet::new(),
            searching: false,
        };
        for (uid, pod) in wanted.iter().filter(|(_, pod)| pod.is_enrolled()) {
            let Some(path) = &pod.path else { continue };
            match observed.get(uid) {
                Some(seen) if !stale(seen, path) => {
                    if let Sight::Seen(id) = seen.sight {
                        scene.holders.entry(id).or_default().push(uid);
                    }
                }
                _ => scene.searching = true,
            }
        }
        for (uid, seen) in observed {
            if let Some((id, _)) = &seen.handed {
                scene.handed.entry(*id).or_default().push(uid);
            }
            if let (true, Sight::Seen(id)) = (seen.busy, &seen.sight) {
                scene.busy.insert(*id);
            }
        }
        scene
    }

    fn next(&self, uid: &str) -> Option<Step> {
        let unseen = Observed::default();
        let seen = self.observed.get(uid).unwrap_or(&unseen);
        if seen.busy {
            return None;
        }
        match self.wanted.get(uid) {
            Some(pod @ Wanted { membership: Membership::Enrolled(options), .. }) => {
                self.join(uid, pod, options, seen)
            }
            Some(pod) => self.leave(seen).or_else(|| self.tidy(pod, seen)),
            None => Some(self.leave(seen).unwrap_or(Step::Forget)).filter(|_| !self.must_stay(seen)),
        }
    }

    /// An enrolled pod: look, enforce, hand over.
    fn join(&self, uid: &str, pod: &Wanted, options: &RedirectOptions, seen: &Observed) -> Option<Step> {
        let withdraw = || seen.handed.as_ref().map(|_| Step::Withdraw);
        let Some(path) = &pod.path else { return withdraw() };
        if seen.look_due || stale(seen, path) {
            return Some(Step::Look(path.clone()));
        }
        let id = match &seen.sight {
            Sight::Seen(id) => *id,
            // What ztunnel has may still be right.
            Sight::Unreadable(_) => return None,
            _ => return withdraw(),
        };
        if self.owner(id) != Some(uid) {
            return withdraw();
        }
        if self.busy.contains(&id) {
            return None;
        }
        match &seen.rules {
            _ if seen.rules_due => Some(Step::Enforce(options.clone())),
            Rules::Failed(_) => None,
            Rules::InPlace(present) if present == options => self.hand(uid, pod, id, seen),
            _ => Some(Step::Enforce(options.clone())),
        }
    }

    fn hand(&self, uid: &str, pod: &Wanted, id: NamespaceId, seen: &Observed) -> Option<Step> {
        let others = self.handed.get(&id).is_some_and(|pods| pods.iter().any(|other| *other != uid));
        let given =
            seen.handed.as_ref().is_some_and(|(given, identity)| *given == id && *identity == pod.identity);
        (!others && !given && !seen.unconfirmed).then_some(Step::Hand)
    }

    /// The one enrolled pod that the namespace belongs to. When several name it, the one that ztunnel has it for; when
    /// that is not one either, nobody: whose traffic it is cannot be known.
    pub(crate) fn owner(&self, id: NamespaceId) -> Option<&'a str> {
        match self.holders.get(&id)?.as_slice() {
            [only] => Some(only),
            several => {
                let given = self.handed.get(&id).map(Vec::as_slice).unwrap_or_default();
                let mut owners = several.iter().filter(|uid| given.contains(uid));
                owners.next().copied().filter(|_| owners.next().is_none())
            }
        }
    }

    /// The other enrolled pods that name the same namespace.
    pub(crate) fn rivals(&self, id: NamespaceId, uid: &str) -> Vec<String> {
        let holders = self.holders.get(&id).into_iter().flatten().filter(|other| **other != uid);
        holders.filter_map(|other| self.wanted.get(*other)).map(Wanted::name).collect()
    }

    /// A pod that is not captured any more, or never was: rules out, then away from ztunnel.
    fn leave(&self, seen: &Observed) -> Option<Step> {
        if self.must_stay(seen) {
            return None;
        }
        if let Sight::Seen(id) = &seen.sight
            && seen.rules != Rules::Absent
            && !self.holders.contains_key(id)
        {
            let failed = matches!(seen.rules, Rules::Failed(_));
            return match &seen.path {
                // It may have failed because the namespace is gone.
                Some(path) if failed && seen.look_due => Some(Step::Look(path.clone())),
                _ => Some(Step::Clear),
            };
        }
        seen.handed.as_ref().map(|_| Step::Withdraw)
    }

    /// Whether a leaving pod has to wait: for the controller, or until it is clear whose its namespace is.
    fn must_stay(&self, seen: &Observed) -> bool {
        let open = match &seen.sight {
            Sight::Seen(id) if seen.rules != Rules::Absent && !self.holders.contains_key(id) => {
                self.searching
                    || self.busy.contains(id)
                    || (matches!(seen.rules, Rules::Failed(_)) && !seen.rules_due)
            }
            _ => false,
        };
        open || seen.announced
    }

    /// A pod that is not captured: rules that an earlier agent may have left are looked for once.
    fn tidy(&self, pod: &Wanted, seen: &Observed) -> Option<Step> {
        let path = pod.path.as_ref()?;
        let done = seen.path.as_ref() == Some(path) && seen.sight != Sight::Unseen;
        (!done && !self.must_stay(seen)).then(|| Step::Look(path.clone()))
    }
}

/// Whether what was seen says nothing about the path.
fn stale(seen: &Observed, path: &Path) -> bool {
    seen.path.as_deref() != Some(path) || matches!(seen.sight, Sight::Unseen | Sight::Cleared)
}
