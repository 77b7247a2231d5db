//! What can be asked for on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What every program in a pod meets, whatever it is.
const EXEC_NOTES: &str = "\
Names:
  NAME      the pod's Service, at port 80: http://cart/items. Only the mesh
            translates its address: it leads nowhere from the outsider, which
            is not in the mesh.
  NAME.pod  the pod itself, at port 8080, from the outsider, too:
            http://catalog.pod:8080/items

Servers:
  Both names have an IPv4 and an IPv6 address, and clients take the latter
  first: let a server of your own listen on both (nginx: `listen 9000;
  listen [::]:9000;`), or call it with `curl -4`.

Users:
  Without root, root is the only user in the demo. A program that changes its
  user fails there, as nginx does with its system configuration: give it one of
  your own, with `user root;`, its pid and its temporary files in a directory
  that you may write. It still says that initgroups failed, and goes on.

Examples:
  ambit demo exec web -- curl -s http://cart/items
  ambit demo exec outsider -- curl -s http://catalog.pod:8080/items";

/// Ambit: a service mesh without sidecars.
#[derive(Debug, Parser)]
#[command(name = "ambit", version, about, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build a whole mesh on this machine, in namespaces of its own, and show what it does
    Demo(DemoArguments),
    /// One program of the demo's shop
    #[command(hide = true)]
    Shop(ShopArguments),
}

/// The demo: its show, and what can be done while it is kept.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct DemoArguments {
    /// What to do with a demo that is kept; without it, the show runs.
    #[command(subcommand)]
    pub command: Option<Demo>,
    /// How the show goes.
    #[command(flatten)]
    pub options: Options,
    /// Where the demo keeps its files while it runs [default: ambit-demo-UID in the directory for temporary files]
    #[arg(long, global = true, value_name = "DIR", env = "AMBIT_DEMO_DIR")]
    pub dir: Option<PathBuf>,
}

/// How the show goes.
#[derive(Debug, Clone, Default, Args)]
pub struct Options {
    /// Leave the mesh up afterwards, in the background, until `ambit demo down`
    #[arg(long)]
    pub keep: bool,
    /// Print nothing but the summary, as JSON
    #[arg(long)]
    pub json: bool,
    /// Also print the log of every part as it comes
    #[arg(long, short, conflicts_with = "json")]
    pub verbose: bool,
    /// Leave out the rotation of certificates, which takes longest
    #[arg(long)]
    pub quick: bool,
}

/// What to do with a demo that is kept.
#[derive(Debug, Subcommand)]
pub enum Demo {
    /// Run any program in a pod: curl, nginx, iperf3, a shell ...
    #[command(after_help = EXEC_NOTES)]
    Exec {
        /// The pod: web, cart, catalog, payments, offers, offers-v2, prices, waypoint or outsider.
        pod: String,
        /// The program and its arguments, after `--`.
        #[arg(last = true, required = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Show the pods, their identities, and the processes
    Status {
        /// For machines.
        #[arg(long)]
        json: bool,
    },
    /// Print what a part has logged
    Logs {
        /// The part, as `ambit demo status` names it; without it, all of them.
        part: Option<String>,
        /// Go on printing as more comes.
        #[arg(long, short)]
        follow: bool,
    },
    /// End the demo; nothing of it is left
    Down,
    /// The supervisor inside the demo's world
    #[command(hide = true)]
    Stage(Options),
    /// Waits for the end of the demo and removes its directory
    #[command(hide = true)]
    Sweep,
}

/// One program of the shop.
#[derive(Debug, Args)]
pub struct ShopArguments {
    /// Which: web, cart, catalog, payments, offers, offers-v2, prices or outsider.
    #[arg(long)]
    pub name: String,
    /// Where it listens, on every address.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// A word that every body carries, to be looked for on the link.
    #[arg(long)]
    pub marker: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_names_of_the_pods_are_documented() {
        let error = Arguments::try_parse_from(["ambit", "demo", "exec", "--help"]).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("http://catalog.pod:8080/items") && said.contains("`user root;`"), "{said}");
    }

    #[test]
    fn a_command_for_a_pod_keeps_its_own_options() {
        let parsed =
            Arguments::try_parse_from(["ambit", "demo", "exec", "web", "--", "curl", "-s", "--dir"]).unwrap();
        let Command::Demo(demo) = parsed.command else { panic!("another command") };
        let Some(Demo::Exec { pod, command }) = demo.command else { panic!("another command") };
        assert_eq!(
            (pod.as_str(), command.as_slice()),
            ("web", ["curl", "-s", "--dir"].map(str::to_owned).as_slice())
        );
    }
}
