//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ambit_app::settings::parse_duration;
use ambit_netns::rules::Backend;
use clap::{Args, Parser, Subcommand};

use crate::NodeName;

/// Captures the traffic of this node's pods and hands their network namespaces to ztunnel.
#[derive(Debug, Parser)]
#[command(
    name = "ambit-agent",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub struct Arguments {
    /// What else than to run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Which pods to run for, without a command.
    #[command(flatten)]
    pub which: Option<Which>,
    /// The controller to report to.
    #[command(flatten)]
    pub controller: Controller,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
}

/// What can be done beside running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Remove every rule and route of ours from every pod of the node, enrolled or not. Stop the agent first.
    Cleanup(Cleanup),
    /// Verify only: say for each pod of the node whether its rules are in place; exit with 1 when some are not.
    Check(Check),
}

/// Which pods.
#[derive(Debug, Args)]
pub struct Which {
    /// The directory with the mesh's resources (YAML or JSON).
    #[arg(long, value_name = "DIR")]
    pub config: PathBuf,
    /// The name of this node, as in the pods' spec.nodeName.
    #[arg(long, value_name = "NAME")]
    pub node: NodeName,
    /// How rules get into the kernel.
    #[arg(long, value_name = "auto|nftables|iptables", default_value = "auto")]
    pub rules: RulesChoice,
}

/// How the controller is reached; it is told which pods are captured.
#[derive(Debug, Clone, Args)]
pub struct Controller {
    /// The controller's address. Without it, captured pods must carry the annotation
    /// `ambient.istio.io/redirection: enabled` themselves.
    #[arg(long, value_name = "HOST:PORT", requires_all = ["token", "root"])]
    pub controller: Option<String>,
    /// The file with this node's token (`controller token --node NAME`).
    #[arg(long, value_name = "FILE", requires = "controller")]
    pub token: Option<PathBuf>,
    /// The controller's root-cert.pem.
    #[arg(long, value_name = "FILE", requires = "controller")]
    pub root: Option<PathBuf>,
    /// The name in the controller's certificate, when it is not HOST.
    #[arg(long, value_name = "NAME", requires = "controller")]
    pub controller_name: Option<String>,
}

/// How the agent runs.
#[derive(Debug, Args)]
pub struct Run {
    /// The socket at which ztunnel asks for pods.
    #[arg(long, value_name = "PATH", default_value = "/var/run/ztunnel/ztunnel.sock")]
    pub zds: PathBuf,
    /// How often each pod's rules are verified, and repaired when something is missing.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = interval)]
    pub repair_interval: Duration,
    /// Where readiness, metrics and the pods' states are served, or `off`.
    #[arg(long, value_name = "ADDR|off", default_value = "127.0.0.1:15024")]
    pub admin: AdminChoice,
}

/// How to clean up.
#[derive(Debug, Args)]
pub struct Cleanup {
    /// Which pods.
    #[command(flatten)]
    pub which: Which,
    /// The agent's socket: while an agent listens there, nothing is removed, because it would put it back. The note
    /// of renderers beside it goes with the last rules.
    #[arg(long, value_name = "PATH", default_value = "/var/run/ztunnel/ztunnel.sock")]
    pub zds: PathBuf,
    /// The controller; it is told first that no pod of the node is captured any more.
    #[command(flatten)]
    pub controller: Controller,
}

/// What to check.
#[derive(Debug, Args)]
pub struct Check {
    /// Which pods.
    #[command(flatten)]
    pub which: Which,
}

/// A renderer, or the first that works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RulesChoice(pub Option<Backend>);

impl FromStr for RulesChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self(None)),
            name => name
                .parse()
                .map(|backend| Self(Some(backend)))
                .map_err(|_| "use auto, nftables or iptables".to_owned()),
        }
    }
}

/// An address, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdminChoice(pub Option<SocketAddr>);

impl FromStr for AdminChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self(None)),
            address => address
                .parse()
                .map(|address| Self(Some(address)))
                .map_err(|_| "use IP:PORT or off".to_owned()),
        }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&interval) {
        Ok(interval)
    } else {
        Err("use 100ms to 1h".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn runs_with_defaults() {
        let arguments = parse("ambit-agent --config /c --node n").unwrap();
        assert_eq!(arguments.which.unwrap().rules, RulesChoice(None));
        assert_eq!(arguments.run.repair_interval, Duration::from_secs(5));
        assert_eq!(arguments.run.admin.0.unwrap().port(), 15024);
        assert!(arguments.controller.controller.is_none());
    }

    #[test]
    fn commands_have_their_own_arguments() {
        let arguments = parse("ambit-agent cleanup --config /c --node n --rules iptables").unwrap();
        let Some(Command::Cleanup(cleanup)) = arguments.command else { panic!("{arguments:?}") };
        assert_eq!(cleanup.which.rules, RulesChoice(Some(Backend::Iptables)));
        assert!(matches!(
            parse("ambit-agent check --config /c --node n").unwrap().command,
            Some(Command::Check(_))
        ));
    }

    #[test]
    fn wrong_lines_are_refused() {
        for line in [
            "ambit-agent",
            "ambit-agent --config /c",
            "ambit-agent --node n",
            "ambit-agent --config /c --node N",
            "ambit-agent --config /c --node n --rules ebpf",
            "ambit-agent --config /c --node n --admin here",
            "ambit-agent --config /c --node n --repair-interval 1ms",
            "ambit-agent --config /c --node n --repair-interval 5",
            "ambit-agent --config /c --node n --controller h:1",
            "ambit-agent --config /c --node n --token t",
            "ambit-agent --config /c --node n check --config /c --node n",
            "ambit-agent cleanup --config /c",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
