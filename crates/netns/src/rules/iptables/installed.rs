//! Which of our chains does a save program show, and how do they differ from the wanted ones?

use std::collections::BTreeMap;

use super::super::renderer::Drift;
use super::super::{Chain, Families, Hook, Stage};
use super::text::{HOOKS, STAGES, built_in, lines, own, table};

/// What a save program shows of our chains and of the jumps to them.
#[derive(Debug, Default)]
pub(super) struct Installed {
    /// The rules of each of our chains, by table and chain, each in canonical form.
    chains: BTreeMap<(String, String), Vec<Vec<String>>>,
    /// How many plain jumps each built-in chain has to ours, by table and built-in chain.
    jumps: BTreeMap<(String, String), usize>,
}

impl Installed {
    pub(super) fn jumps(&self, stage: Stage, hook: Hook) -> usize {
        self.jumps.get(&key(stage, built_in(hook))).copied().unwrap_or(0)
    }

    pub(super) fn has_chain(&self, stage: Stage, hook: Hook) -> bool {
        self.chains.contains_key(&key(stage, own(hook)))
    }
}

fn key(stage: Stage, chain: &str) -> (String, String) {
    (table(stage).to_owned(), chain.to_owned())
}

/// Reads save text.
pub(super) fn parse(text: &str) -> Installed {
    let ours = |chain: &str| HOOKS.iter().any(|hook| own(*hook) == chain);
    let mut installed = Installed::default();
    let mut current = String::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('*') {
            current = name.to_owned();
        } else if let Some(declared) = line.strip_prefix(':') {
            let chain = declared.split(' ').next().unwrap_or_default();
            if ours(chain) {
                installed.chains.entry((current.clone(), chain.to_owned())).or_default();
            }
        } else if let Some((chain, rule)) = line.strip_prefix("-A ").and_then(|rest| rest.split_once(' ')) {
            let key = (current.clone(), chain.to_owned());
            if ours(chain) {
                installed.chains.entry(key).or_default().push(canonical(rule));
            } else if let Some(hook) = HOOKS.iter().find(|hook| built_in(**hook) == chain)
                && rule == format!("-j {}", own(*hook))
            {
                *installed.jumps.entry(key).or_default() += 1;
            }
        }
    }
    installed
}

/// A rule as its options, each with its negation and values, sorted: the programs differ in the order they print.
fn canonical(rule: &str) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    let mut negated = false;
    for word in rule.split_ascii_whitespace() {
        if word == "!" {
            negated = true;
        } else if word.starts_with('-') {
            options.push(format!("{}{word}", if negated { "! " } else { "" }));
            negated = false;
        } else if let Some(last) = options.last_mut() {
            last.push(' ');
            last.push_str(word);
        }
    }
    // The module of a protocol says nothing that `-p` does not say.
    options.retain(|option| option != "-m tcp" && option != "-m udp");
    options.sort();
    options
}

/// Every difference between `chains` of one family and what is installed.
pub(super) fn compare(chains: &[Chain], family: Families, installed: &Installed) -> Vec<Drift> {
    let program = if family == Families::V4 { "iptables" } else { "ip6tables" };
    let mut drifts = Vec::new();
    for stage in STAGES {
        for hook in HOOKS {
            let place = format!("{program} {} {}", table(stage), own(hook));
            let jump = format!("the jump from {} to {place}", built_in(hook));
            let wanted = chains.iter().find(|c| c.stage == stage && c.hook == hook);
            let found = installed.chains.get(&key(stage, own(hook)));
            match (wanted, found) {
                (None, None) => {}
                (None, Some(_)) => drifts.push(Drift::Unexpected(format!("chain {place}"))),
                (Some(_), None) => drifts.push(Drift::Missing(format!("chain {place}"))),
                (Some(wanted), Some(found)) => {
                    compare_rules(&lines(&wanted.rules, family), found, &place, &mut drifts);
                }
            }
            match installed.jumps(stage, hook) {
                0 if wanted.is_some() => drifts.push(Drift::Missing(jump)),
                1 if wanted.is_some() => {}
                0 => {}
                count => drifts.push(Drift::Unexpected(format!("{jump}, {count} times"))),
            }
        }
    }
    drifts
}

fn compare_rules(wanted: &[String], found: &[Vec<String>], place: &str, drifts: &mut Vec<Drift>) {
    let forms: Vec<Vec<String>> = wanted.iter().map(|line| canonical(line)).collect();
    if forms == found {
        return;
    }
    let before = drifts.len();
    let mut left: Vec<&Vec<String>> = found.iter().collect();
    for (line, form) in wanted.iter().zip(&forms) {
        match left.iter().position(|rule| *rule == form) {
            Some(position) => {
                left.remove(position);
            }
            None => drifts.push(Drift::Missing(format!("{place}: {line}"))),
        }
    }
    drifts.extend(left.iter().map(|rule| Drift::Unexpected(format!("{place}: {}", rule.join(" ")))));
    if drifts.len() == before {
        drifts.push(Drift::Altered(format!("the order of the rules of {place}")));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::proptest;

    use super::super::super::{RedirectOptions, redirection};
    use super::super::text;
    use super::*;

    #[test]
    fn what_is_applied_is_found_again() {
        let rules = redirection(&RedirectOptions::default());
        for family in [Families::V4, Families::V6] {
            let installed = parse(&text::apply(&rules, family, &Installed::default()));
            assert_eq!(compare(&rules.chains, family, &installed), []);
            assert_eq!(compare(&[], family, &installed).len(), 12, "six chains and six jumps too many");
            // Applied again, each former jump goes.
            let again = text::apply(&rules, family, &installed);
            assert_eq!(again.matches("-D ").count(), 6);
            assert_eq!(text::remove(&installed).matches("-X ").count(), 6);
        }
        assert_eq!(text::remove(&Installed::default()), "");
    }

    #[test]
    fn the_order_of_options_does_not_matter_but_their_sense_does() {
        assert_eq!(canonical("! -d ::1/128 -p tcp -j ACCEPT"), canonical("-p tcp -j ACCEPT ! -d ::1/128"));
        assert_ne!(canonical("! -d ::1/128 -p tcp -j ACCEPT"), canonical("-d ::1/128 ! -p tcp -j ACCEPT"));
        assert_ne!(canonical("-p tcp -j ACCEPT"), canonical("-p tcp -j RETURN"));
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([*:]|-A |-j |! |AMBIT_PRERT|OUTPUT|nat|\\PC|\n){0,40}") {
            compare(&[], Families::V4, &parse(&text));
        }
    }
}
