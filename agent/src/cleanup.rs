//! `ambit-agent cleanup`: every rule and route of ours out of every pod of the node.

use std::io::Write;

use ambit_kubernetes::read_directory;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::arguments::Cleanup;
use crate::controller::Reporter;
use crate::one_per_node::OnePerNode;
use crate::plan::Sight;
use crate::redirect::Redirect;
use crate::{history, source, wanted};

/// Removes the rules from all pods of the node, enrolled or not, and writes a line for each; tells whether every pod
/// that has a network namespace is clean now.
///
/// # Errors
/// Nothing was done; one line that says what to do.
pub fn cleanup(arguments: &Cleanup, output: &mut dyn Write) -> anyhow::Result<bool> {
    let which = &arguments.which;
    source::readable(&which.config)?;
    let _alone = OnePerNode::take(&which.node)?;
    // An agent elsewhere, in another network namespace, may have this socket.
    if somebody_listens(&arguments.zds) {
        anyhow::bail!(
            "an agent listens at {}: stop it first, it would put the rules back (--zds names another socket)",
            arguments.zds.display()
        );
    }
    // What is wrong between objects does not matter here.
    let resources = read_directory(&which.config).map_err(|problems| {
        let more = problems.len() - problems.len().min(1);
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        anyhow::anyhow!(
            "{first}{}",
            if more > 0 { format!(" (and {more} more problems)") } else { String::new() }
        )
    })?;
    let pods = wanted(&resources.objects, which.node.as_str());
    if let Some(line) = source::nobody_here(&pods, &wanted::nodes(&resources.objects)) {
        anyhow::bail!("{line}");
    }
    let redirect = Redirect::new(which.rules.0, true)?;
    if let Some(reporter) = Reporter::new(&arguments.controller, &which.node)? {
        ambit_app::control(reporter.release_all())??;
        say(output, "the controller knows that no pod of this node is captured");
    }
    let (mut removed, mut failed) = (0, 0);
    for pod in pods.values() {
        let Some(path) = &pod.path else { continue };
        let name = pod.name();
        let line = match redirect.look(path) {
            (_, Some(namespace)) => match redirect.clear(&namespace) {
                Ok(found) if found.is_empty() => format!("{name}: no rules"),
                Ok(found) => {
                    removed += 1;
                    format!("{name}: removed {} ({})", found.len(), found.join("; "))
                }
                Err(error) => {
                    failed += 1;
                    format!("{name}: {error}")
                }
            },
            (Sight::Missing(_), None) => {
                format!("{name}: no network namespace at {}, nothing to remove", path.display())
            }
            (Sight::Refused(reason), None) => format!("{name}: nothing removed: {reason}"),
            (Sight::Unreadable(reason), None) => {
                failed += 1;
                format!("{name}: {reason}")
            }
            (_, None) => continue,
        };
        say(output, &line);
    }
    if failed == 0
        && let Err(error) = history::forget(&arguments.zds)
    {
        say(output, &format!("the note of used renderers beside the ZDS socket stays ({error})"));
    }
    say(output, &format!("rules removed from {removed} of {} pods of node {}", pods.len(), which.node));
    Ok(failed == 0)
}

/// The work goes on when nobody reads the output.
fn say(output: &mut dyn Write, line: &str) {
    let _ = writeln!(output, "{line}");
}

fn somebody_listens(path: &std::path::Path) -> bool {
    let connect = || -> rustix::io::Result<()> {
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
    };
    connect().is_ok()
}
