//! `ambit-agent check`: are the rules of the node's pods as they should be? Changes nothing.

use std::io::Write;

use ambit_netns::rules::Backend;

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
    let (pods, nodes) = source::read(&mut source::files(&which.config), &which.node).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the configuration is invalid: {}", lines.join("\n"))
    })?;
    if let Some(line) = source::nobody_here(&pods, &nodes) {
        anyhow::bail!("{line}");
    }
    let redirect = Redirect::new(which.rules.0, false)?;
    let (mut good, mut thorough) = (true, None);
    for pod in pods.values() {
        let (mut line, mut fine) = verdict(&redirect, pod);
        if !fine && which.rules.0.is_none() {
            // An agent may have been told to use the other renderer. Looking for its rules is slow.
            let both = thorough.get_or_insert_with(|| redirect.clone().thorough());
            if let Some(backend) = by_other(both, pod) {
                (line, fine) = (format!("rules in place ({backend})"), true);
            }
        }
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

fn by_other(redirect: &Redirect, pod: &Wanted) -> Option<Backend> {
    let Membership::Enrolled(options) = &pod.membership else { return None };
    let (_, namespace) = redirect.look(pod.path.as_deref()?);
    redirect.in_place_by_other(&namespace?, options).ok().flatten()
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
