//! `ambit-agent check`: are the rules of the node's pods as they should be? Changes nothing.

use std::io::Write;

use crate::arguments::Check;
use crate::plan::Sight;
use crate::redirect::Redirect;
use crate::wanted::Membership;
use crate::{Wanted, source};

/// Writes a line for each pod of the node; tells whether all are as they should be.
///
/// # Errors
/// Nothing could be checked; one line that says what to do.
pub fn check(arguments: &Check, output: &mut dyn Write) -> anyhow::Result<bool> {
    let which = &arguments.which;
    source::readable(&which.config)?;
    let pods = source::read(&which.config, &which.node).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration is invalid: {}", lines.join("\n"))
    })?;
    let redirect = Redirect::new(which.rules.0, true)?;
    let mut good = true;
    for pod in pods.values() {
        let (line, fine) = verdict(&redirect, pod);
        good &= fine;
        writeln!(output, "{}: {line}", pod.name())?;
    }
    writeln!(
        output,
        "node {}: {} pods, {}",
        which.node,
        pods.len(),
        if good { "all as they should be" } else { "not all as they should be" }
    )?;
    Ok(good)
}

fn verdict(redirect: &Redirect, pod: &Wanted) -> (String, bool) {
    let Some(path) = &pod.path else {
        let enrolled = pod.is_enrolled();
        return ("it has no annotation ambit.mesh/netns".to_owned(), !enrolled);
    };
    let (sight, namespace) = redirect.look(path);
    match (&pod.membership, sight, namespace) {
        (Membership::Enrolled(options), _, Some(namespace)) => match redirect.verify(&namespace, options) {
            Ok(drifts) if drifts.is_empty() => ("rules in place".to_owned(), true),
            Ok(drifts) => {
                let lines: Vec<String> = drifts.iter().map(ToString::to_string).collect();
                (format!("rules not in place: {}", lines.join("; ")), false)
            }
            Err(error) => (error.to_string(), false),
        },
        (Membership::Outside(reason), _, Some(namespace)) => match redirect.leftovers(&namespace) {
            Ok(found) if found.is_empty() => (format!("no rules, and none are wanted: {reason}"), true),
            Ok(found) => (format!("rules that should not be there ({reason}): {}", found.join("; ")), false),
            Err(error) => (error.to_string(), false),
        },
        (
            Membership::Enrolled(_),
            Sight::Missing(reason) | Sight::Refused(reason) | Sight::Unreadable(reason),
            _,
        ) => (reason, false),
        _ => ("no network namespace, and no rules are wanted".to_owned(), true),
    }
}
