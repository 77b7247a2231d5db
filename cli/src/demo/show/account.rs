//! What did the show come to?

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::demo::event::{Event, Expectation};
use crate::demo::place::Place;
use crate::demo::plan::POD_PORT;
use crate::demo::render;
use crate::demo::resources::{POLICIES, ROUTE};
use crate::demo::style::Style;

/// The first encrypted request must be through by then.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// Everything that counts, as it comes.
#[derive(Debug)]
pub(crate) struct Account {
    start: Instant,
    first: Option<Duration>,
    expectations: Vec<Expectation>,
    trouble: Option<(String, Vec<String>)>,
    kept: Option<PathBuf>,
}

impl Account {
    /// Begins now.
    pub(crate) fn new(place: &Place, keep: bool) -> Self {
        let kept = keep.then(|| place.config());
        Self { start: Instant::now(), first: None, expectations: Vec::new(), trouble: None, kept }
    }

    /// Enters an event.
    pub(crate) fn enter(&mut self, event: &Event) {
        match event {
            Event::FirstEncrypted => {
                let took = *self.first.get_or_insert(self.start.elapsed());
                let detail = format!("{:.2} s after the start of the demo", took.as_secs_f64());
                self.expectations.push(Expectation::new(
                    "the first encrypted request is through within 10 s",
                    took <= FIRST_REQUEST,
                    detail,
                ));
            }
            Event::Expectation(expectation) => self.expectations.push(expectation.clone()),
            Event::Trouble { text, log } => self.trouble = Some((text.clone(), log.clone())),
            _ => {}
        }
    }

    /// The stage ended before the show did, with these words, unless it told its trouble itself.
    pub(crate) fn lost(&mut self, said: &str) {
        let silent = "the demo's stage ended without a word: somebody killed it, or the machine lacks memory";
        let last = said.lines().last().map_or(silent, |line| line.trim_start_matches("ambit: "));
        self.trouble.get_or_insert_with(|| (last.to_owned(), Vec::new()));
        self.kept = None;
    }

    /// The user ended it.
    pub(crate) fn interrupted(&mut self, signal: Signal) {
        self.trouble
            .get_or_insert_with(|| (format!("ended by {signal} before the show was over"), Vec::new()));
        self.kept = None;
    }

    /// Looks for what must not be there any more.
    pub(crate) fn look_for_leftovers(&mut self, place: &Place) {
        let (used, left) = (place.is_used(), place.directory().exists());
        let detail = match (used, left) {
            (false, false) => format!(
                "no process of the demo's world, no namespace, and no {}",
                place.directory().display()
            ),
            (true, _) => "processes of the demo still hold its directory".to_owned(),
            (false, true) => format!("{} is still there", place.directory().display()),
        };
        self.expectations.push(Expectation::new("nothing is left behind", !used && !left, detail));
    }

    /// Whether everything held that was expected.
    pub(crate) fn passed(&self) -> bool {
        self.trouble.is_none()
            && self.first.is_some()
            && self.expectations.iter().all(|expectation| expectation.passed)
    }

    /// The last lines of the show.
    pub(crate) fn closing(&self, style: Style) -> Vec<String> {
        let seconds = self.start.elapsed().as_secs_f64();
        let mut lines = Vec::new();
        if !self.expectations.is_empty() {
            lines.extend(render::summary(style, &self.expectations, self.trouble.is_some(), seconds));
        }
        if let Some((text, log)) = &self.trouble {
            lines.extend(render::trouble(style, text, log));
        }
        if let Some(config) = &self.kept {
            lines.extend(kept(style, config));
        }
        lines.push(String::new());
        lines
    }

    /// The summary for machines.
    pub(crate) fn json(&self) -> Value {
        json!({
            "passed": self.passed(),
            "seconds_to_first_encrypted_request": self.first.map(|first| first.as_secs_f64()),
            "seconds": self.start.elapsed().as_secs_f64(),
            "expectations": self.expectations,
            "trouble": self.trouble.as_ref().map(|(text, _)| text),
            "kept": self.kept.as_ref().map(|config| json!({ "config": config.display().to_string() })),
        })
    }
}

/// What can be done with a mesh that stays.
fn kept(style: Style, config: &Path) -> Vec<String> {
    let (policies, route) = (config.join(POLICIES), config.join(ROUTE));
    let ambit = own_name();
    let examples = [
        ("run any program in a pod", format!("{ambit} demo exec web -- curl -s http://cart/items")),
        (
            "from outside the mesh, by the pod's address",
            format!("{ambit} demo exec outsider -- curl -s http://catalog.pod:{POD_PORT}/items"),
        ),
        ("edit this; it takes effect when saved", policies.display().to_string()),
        (
            "for instance, refuse web, and call again",
            format!("sed -i s,sa/web,sa/nobody, {}", policies.display()),
        ),
        ("edit the weights of the canary, and call it", route.display().to_string()),
        ("", format!("{ambit} demo exec web -- curl -s http://offers/items")),
        ("see who answered, and why", format!("{ambit} demo logs waypoint")),
        ("see pods, processes, the state of the YAML", format!("{ambit} demo status")),
        ("see what a part says", format!("{ambit} demo logs controller")),
        ("end it", format!("{ambit} demo down")),
    ];
    let mut lines = vec![String::new(), format!("  {}", style.bold("The mesh stays up"))];
    lines.extend(examples.iter().map(|(what, how)| format!("  {what:44} {}", style.cyan(how))));
    lines
}

/// How this program was called, as short as it can be typed again from here.
fn own_name() -> String {
    let Some(called) = std::env::args_os().next().map(PathBuf::from) else { return "ambit".to_owned() };
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| called.strip_prefix(here).ok().map(Path::to_owned));
    below.unwrap_or(called).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(events: &[Event]) -> Account {
        let place = Place::choose(Some("/tmp/nowhere-at-all".into())).unwrap();
        let mut account = Account::new(&place, false);
        for event in events {
            account.enter(event);
        }
        account
    }

    #[test]
    fn a_show_passes_only_when_everything_held() {
        let held = Event::Expectation(Expectation::new("a", true, "b"));
        let failed = Event::Expectation(Expectation::new("c", false, "d"));
        assert!(account(&[Event::FirstEncrypted, held.clone()]).passed());
        assert!(!account(std::slice::from_ref(&held)).passed(), "nothing was encrypted");
        assert!(!account(&[Event::FirstEncrypted, failed]).passed());
        let mut lost = account(&[Event::FirstEncrypted, held]);
        lost.lost("ambit: controller is missing");
        assert!(!lost.passed());
        assert_eq!(lost.json()["trouble"], "controller is missing");
        assert_eq!(lost.json()["expectations"][1], json!({"name": "a", "passed": true, "detail": "b"}));
    }

    #[test]
    fn leftovers_are_seen() {
        let parent = tempfile::tempdir().unwrap();
        let place = Place::choose(Some(parent.path().join("demo"))).unwrap();
        let mut account = account(&[Event::FirstEncrypted]);
        account.look_for_leftovers(&place);
        assert!(account.passed());
        let _claim = place.claim().unwrap();
        account.look_for_leftovers(&place);
        assert!(!account.passed());
    }
}
