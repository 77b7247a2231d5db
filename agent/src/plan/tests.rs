//! The plan against a world that changes while steps are under way, and against what it must always hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ambit_kubernetes::NotEnrolledReason;
use ambit_netns::NamespaceId;
use ambit_netns::rules::RedirectOptions;
use ambit_zds::WorkloadIdentity;
use proptest::prelude::*;

use super::*;

/// Two paths lead to the same place.
const PATHS: [(&str, usize); 4] = [("/a", 0), ("/b", 1), ("/alias-of-b", 1), ("/c", 2)];
const PLACES: usize = 3;
const UIDS: [&str; 4] = ["p0", "p1", "p2", "p3"];

fn identity(name: &str) -> WorkloadIdentity {
    WorkloadIdentity { name: name.into(), namespace: "shop".into(), service_account: "default".into() }
}

fn options(ingress_mode: bool) -> RedirectOptions {
    RedirectOptions { ingress_mode, ..RedirectOptions::default() }
}

fn pod(uid: &str, path: Option<&str>, enrolled: Option<bool>) -> Wanted {
    Wanted {
        identity: identity(uid),
        path: path.map(PathBuf::from),
        membership: match enrolled {
            Some(ingress_mode) => Membership::Enrolled(options(ingress_mode)),
            None => Membership::Outside(NotEnrolledReason::NotLabelled),
        },
        warnings: Vec::new(),
    }
}

fn id(inode: u64) -> NamespaceId {
    NamespaceId { dev: 4, inode }
}

/// The kernel and ztunnel, and steps that are under way.
#[derive(Debug, Default)]
struct World {
    places: [Option<u64>; PLACES],
    last_inode: u64,
    rules: BTreeMap<u64, RedirectOptions>,
    handed: BTreeMap<String, u64>,
    wanted: Pods,
    observed: Sights,
    under_way: Vec<(String, Step, Sight)>,
    /// The next enforcements or removals fail.
    failing: bool,
    /// Namespaces that an enrolled pod once had and does not name any more: their rules stay, closed.
    abandoned: Vec<u64>,
}

impl World {
    fn sight(&self, path: &std::path::Path) -> Sight {
        let place = PATHS.iter().find(|(name, _)| path == std::path::Path::new(name)).unwrap().1;
        match self.places[place] {
            Some(inode) => Sight::Seen(id(inode)),
            None => Sight::Missing("nothing there".into()),
        }
    }

    /// Begins what the plan says; the steps that need no thread are taken at once.
    fn begin(&mut self) -> bool {
        let steps = plan(&self.wanted, &self.observed);
        let any = !steps.is_empty();
        for (uid, step) in steps {
            self.check(&uid, &step);
            let seen = self.observed.entry(uid.clone()).or_default();
            match step {
                Step::Hand => {
                    let Sight::Seen(id) = seen.sight else { panic!("{uid} handed without a namespace") };
                    seen.handed = Some((id, self.wanted[&uid].identity.clone()));
                    self.handed.insert(uid, id.inode);
                }
                Step::Withdraw => {
                    seen.handed = None;
                    self.handed.remove(&uid);
                }
                Step::Forget => {
                    self.observed.remove(&uid);
                }
                step => {
                    seen.busy = true;
                    let sight = seen.sight.clone();
                    self.under_way.push((uid, step, sight));
                }
            }
        }
        any
    }

    /// What must hold of every step.
    fn check(&self, uid: &str, step: &Step) {
        let seen = self.observed.get(uid).cloned().unwrap_or_default();
        assert!(!seen.busy, "{uid} is busy");
        let enrolled = |uid: &str| self.wanted.get(uid).is_some_and(Wanted::is_enrolled);
        match step {
            Step::Clear => {
                let Sight::Seen(cleared) = seen.sight else { panic!("nothing to clear for {uid}") };
                assert!(!enrolled(uid) && !seen.announced);
                for (other, pod) in
                    self.wanted.iter().filter(|(uid, pod)| enrolled(uid) && pod.path.is_some())
                {
                    let other = self.observed.get(other).filter(|other| other.path == pod.path);
                    let sight = other.map(|other| &other.sight).filter(|sight| **sight != Sight::Unseen);
                    assert!(sight.is_some(), "an enrolled pod's namespace is not known");
                    assert!(sight != Some(&Sight::Seen(cleared)), "an enrolled pod has it");
                }
            }
            Step::Hand => {
                let Sight::Seen(id) = seen.sight else { panic!("nothing to hand over for {uid}") };
                assert!(enrolled(uid) && matches!(seen.rules, Rules::InPlace(_)) && !seen.rules_due);
                assert!(!seen.unconfirmed, "{uid} is handed over on the word of older resources");
                assert!(!self.handed.iter().any(|(other, inode)| other != uid && *inode == id.inode));
            }
            Step::Withdraw if !enrolled(uid) => {
                // Rules first, unless they are somebody else's now, or gone with the namespace.
                assert!(!seen.announced);
                if let Sight::Seen(id) = seen.sight {
                    let holders = self
                        .observed
                        .iter()
                        .filter(|(other, o)| enrolled(other) && o.sight == Sight::Seen(id));
                    assert!(seen.rules == Rules::Absent || holders.count() > 0);
                }
            }
            Step::Forget => assert!(!self.wanted.contains_key(uid) && seen.handed.is_none()),
            _ => {}
        }
    }

    fn finish(&mut self, which: usize) {
        if self.under_way.is_empty() {
            return;
        }
        let (uid, step, sight) = self.under_way.remove(which % self.under_way.len());
        let failure = self.failing.then(|| "no".to_owned());
        let inode = match sight {
            Sight::Seen(id) => id.inode,
            _ => 0,
        };
        let looked = match &step {
            Step::Look(path) => Some((path.clone(), self.sight(path))),
            _ => None,
        };
        let seen = self.observed.get_mut(&uid).expect("busy pods are not forgotten");
        seen.busy = false;
        match step {
            Step::Look(_) => {
                let (path, sight) = looked.unwrap();
                seen.looked(path, sight);
                // The resources are read again at once.
                seen.unconfirmed = false;
            }
            Step::Enforce(options) => {
                if failure.is_none() {
                    self.rules.insert(inode, options.clone());
                }
                seen.enforced(options, failure);
            }
            Step::Clear => {
                if failure.is_none() {
                    self.rules.remove(&inode);
                }
                seen.cleared(failure);
            }
            other => panic!("{other:?} needs no thread"),
        }
    }

    /// As the loop does when the controller has been told.
    fn announce(&mut self, told: bool) {
        for (uid, seen) in &mut self.observed {
            let enrolled = self.wanted.get(uid).is_some_and(Wanted::is_enrolled);
            if enrolled && seen.handed.is_some() {
                seen.announced = true;
            } else if !enrolled && told {
                seen.announced = false;
            }
        }
    }

    fn want(&mut self, uid: &str, pod: Option<Wanted>) {
        if let (Some(seen), Some(pod)) = (self.observed.get(uid), &pod)
            && let Sight::Seen(id) = seen.sight
            && pod.is_enrolled()
            && pod.path != seen.path
        {
            self.abandoned.push(id.inode);
        }
        if let Some(seen) = self.observed.get_mut(uid) {
            seen.look_due |= self.wanted.get(uid) != pod.as_ref();
        }
        match pod {
            Some(pod) => self.wanted.insert(uid.to_owned(), pod),
            None => self.wanted.remove(uid),
        };
    }

    /// Nothing changes any more and nothing fails: how long until there is nothing to do?
    fn settle(&mut self) {
        self.failing = false;
        for round in 0.. {
            assert!(round < 200, "does not come to rest: {self:#?}");
            if round < 2 {
                failed_due(&self.wanted, &mut self.observed);
                all_due(&self.wanted, &mut self.observed);
            }
            self.announce(true);
            let any = self.begin();
            let waiting = !self.under_way.is_empty();
            while !self.under_way.is_empty() {
                self.finish(0);
            }
            if !any && !waiting && round > 2 {
                break;
            }
        }
        assert_eq!(plan(&self.wanted, &self.observed), [], "at rest, and still something to do");
    }

    fn place_of(&self, pod: &Wanted) -> Option<u64> {
        let path = pod.path.as_deref()?;
        match self.sight(path) {
            Sight::Seen(id) => Some(id.inode),
            _ => None,
        }
    }

    /// What a naive reader of the resources would expect at rest.
    fn check_at_rest(&self) {
        let enrolled = |inode: u64| {
            self.wanted.values().filter(|pod| pod.is_enrolled() && self.place_of(pod) == Some(inode)).count()
        };
        for (uid, pod) in &self.wanted {
            let place = self.place_of(pod);
            match (&pod.membership, place) {
                (Membership::Enrolled(options), Some(inode)) if enrolled(inode) == 1 => {
                    assert_eq!(self.rules.get(&inode), Some(options), "{uid}");
                    assert_eq!(self.handed.get(uid), Some(&inode), "{uid}");
                }
                (Membership::Enrolled(_), Some(inode)) => {
                    assert!(self.handed.values().filter(|given| **given == inode).count() <= 1);
                }
                (Membership::Enrolled(_), None) => assert_eq!(self.handed.get(uid), None, "{uid}"),
                (Membership::Outside(_), place) => {
                    assert_eq!(self.handed.get(uid), None, "{uid}");
                    if let Some(inode) =
                        place.filter(|inode| enrolled(*inode) == 0 && !self.abandoned.contains(inode))
                    {
                        assert_eq!(self.rules.get(&inode), None, "{uid}");
                    }
                }
            }
        }
        assert!(self.handed.keys().chain(self.observed.keys()).all(|uid| self.wanted.contains_key(uid)));
    }
}

#[derive(Clone, Debug)]
enum Event {
    Want { uid: usize, path: Option<usize>, enrolled: Option<bool> },
    Delete(usize),
    Create(usize),
    Vanish(usize),
    Flush(usize),
    Fail(bool),
    Begin,
    Finish(usize),
    AllDue,
    FailedDue,
    Announce(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..UIDS.len(), proptest::option::weighted(0.9, 0..PATHS.len()), proptest::option::weighted(0.7, any::<bool>()))
            .prop_map(|(uid, path, enrolled)| Event::Want { uid, path, enrolled }),
        1 => (0..UIDS.len()).prop_map(Event::Delete),
        2 => (0..PLACES).prop_map(Event::Create),
        1 => (0..PLACES).prop_map(Event::Vanish),
        1 => (0..PLACES).prop_map(Event::Flush),
        1 => any::<bool>().prop_map(Event::Fail),
        6 => Just(Event::Begin),
        6 => (0..8_usize).prop_map(Event::Finish),
        1 => Just(Event::AllDue),
        1 => Just(Event::FailedDue),
        2 => any::<bool>().prop_map(Event::Announce),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn comes_to_what_is_wanted_and_never_opens_an_enrolled_pod(
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let mut world = World { last_inode: 100, ..World::default() };
        for event in events {
            match event {
                Event::Want { uid, path, enrolled } => {
                    let pod = pod(UIDS[uid], path.map(|path| PATHS[path].0), enrolled);
                    world.want(UIDS[uid], Some(pod));
                }
                Event::Delete(uid) => world.want(UIDS[uid], None),
                Event::Create(place) => {
                    world.last_inode += 1;
                    world.places[place] = Some(world.last_inode);
                }
                Event::Vanish(place) => world.places[place] = None,
                Event::Flush(place) => {
                    if let Some(inode) = world.places[place] {
                        world.rules.remove(&inode);
                    }
                }
                Event::Fail(failing) => world.failing = failing,
                Event::Begin => {
                    world.begin();
                }
                Event::Finish(which) => world.finish(which),
                Event::AllDue => all_due(&world.wanted, &mut world.observed),
                Event::FailedDue => failed_due(&world.wanted, &mut world.observed),
                Event::Announce(told) => world.announce(told),
            }
        }
        world.settle();
        world.check_at_rest();
    }
}

/// A world with one enrolled pod at rest.
fn captured() -> World {
    let mut world = World { places: [Some(1), Some(2), None], last_inode: 2, ..World::default() };
    world.want("p0", Some(pod("p0", Some("/a"), Some(false))));
    world.settle();
    world.check_at_rest();
    world
}

#[test]
fn a_pod_is_looked_at_enforced_and_handed_over_in_this_order() {
    let mut world = World { places: [Some(1), None, None], ..World::default() };
    world.want("p0", Some(pod("p0", Some("/a"), Some(false))));
    let next = |world: &World| {
        plan(&world.wanted, &world.observed).into_iter().map(|(_, step)| step).collect::<Vec<_>>()
    };
    assert_eq!(next(&world), [Step::Look("/a".into())]);
    world.begin();
    assert_eq!(next(&world), [], "busy");
    world.finish(0);
    assert_eq!(next(&world), [Step::Enforce(options(false))]);
    world.begin();
    world.finish(0);
    assert_eq!(next(&world), [Step::Hand]);
    world.begin();
    assert_eq!(next(&world), []);
}

#[test]
fn a_leaving_pod_waits_for_the_controller_then_loses_its_rules_then_its_proxy() {
    let mut world = captured();
    world.want("p0", None);
    world.observed.get_mut("p0").unwrap().announced = true;
    assert_eq!(plan(&world.wanted, &world.observed), []);
    world.announce(true);
    assert_eq!(plan(&world.wanted, &world.observed), [("p0".to_owned(), Step::Clear)]);
    world.begin();
    world.finish(0);
    assert_eq!(plan(&world.wanted, &world.observed), [("p0".to_owned(), Step::Withdraw)]);
    world.begin();
    assert_eq!(plan(&world.wanted, &world.observed), [("p0".to_owned(), Step::Forget)]);
}

#[test]
fn a_namespace_of_two_pods_stays_with_the_one_that_had_it_and_is_nobodys_otherwise() {
    let mut world = captured();
    world.places[1] = world.places[0];
    world.want("p1", Some(pod("p1", Some("/b"), Some(false))));
    world.settle();
    assert_eq!(world.handed.keys().collect::<Vec<_>>(), ["p0"]);

    let mut world = World { places: [None, Some(7), None], ..World::default() };
    world.want("p0", Some(pod("p0", Some("/b"), Some(false))));
    world.want("p1", Some(pod("p1", Some("/alias-of-b"), Some(false))));
    world.settle();
    assert!(world.handed.is_empty());
}

#[test]
fn a_namespace_that_is_replaced_is_a_new_one() {
    let mut world = captured();
    world.places[0] = Some(9);
    world.settle();
    assert_eq!(world.handed["p0"], 9);
    assert_eq!(world.rules[&9], options(false));
}

#[test]
fn a28_a_namespace_is_not_handed_over_on_the_word_of_older_resources() {
    let mut world = captured();
    let before = world.handed["p0"];
    let seen = world.observed.get_mut("p0").unwrap();
    seen.looked(PathBuf::from("/a"), Sight::Seen(id(9)));
    seen.enforced(options(false), None);
    assert!(seen.unconfirmed);
    assert_eq!(plan(&world.wanted, &world.observed), []);
    assert_eq!(world.handed["p0"], before);
    world.observed.get_mut("p0").unwrap().unconfirmed = false;
    assert_eq!(plan(&world.wanted, &world.observed), [("p0".to_owned(), Step::Hand)]);
}

#[test]
fn standing_says_why() {
    let said = |world: &World, uid: &str, status| {
        let scene = Scene::new(&world.wanted, &world.observed);
        standing(&scene, uid, &world.wanted[uid], &world.observed[uid], status)
    };
    use ambit_zds::registry::PodStatus;
    let mut world = captured();
    assert_eq!(said(&world, "p0", Some(PodStatus::Pending)), Standing::Waiting);
    assert_eq!(said(&world, "p0", Some(PodStatus::Accepted)), Standing::Captured);
    let rejected = said(&world, "p0", Some(PodStatus::Failed("port 15008 is taken".into())));
    assert!(rejected.to_string().contains("port 15008 is taken"));

    world.failing = true;
    all_due(&world.wanted, &mut world.observed);
    world.begin();
    world.finish(0);
    world.begin();
    world.finish(0);
    assert_eq!(said(&world, "p0", Some(PodStatus::Accepted)), Standing::Blocked("no".into()));

    world.want("p0", Some(pod("p0", Some("/a"), None)));
    assert_eq!(said(&world, "p0", Some(PodStatus::Accepted)), Standing::Leaving);
    world.settle();
    assert_eq!(said(&world, "p0", None), Standing::Outside(NotEnrolledReason::NotLabelled));
}
