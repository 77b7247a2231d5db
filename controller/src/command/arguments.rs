//! What the command line accepts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ambit_app::settings::parse_duration;
use ambit_telemetry::log::LogFormat;
use clap::{Args, Parser, Subcommand};
use ipnet::IpNet;

use crate::tokens::{Caller, NodeName, WorkloadName};

/// Control plane of the Ambit mesh: resources in, configuration and certificates out.
#[derive(Debug, Parser)]
#[command(
    name = "controller",
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: Option<ServeArguments>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a token by which a node's ztunnel and agent, or a waypoint, prove themselves
    Token(TokenArguments),
    /// Validate a configuration directory and say what is wrong with it
    Check(CheckArguments),
}

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    /// Directory of YAML files: Kubernetes and Istio resources, watched for changes
    #[arg(long, value_name = "DIR")]
    pub(super) config: PathBuf,
    /// Directory for keys, root-cert.pem and captured pods; made if absent
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// Address and port for configuration and certificates, TLS only; may be given more than once; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", required = true, value_parser = address)]
    pub(super) listen: Vec<SocketAddr>,
    /// Further DNS name or address for the serving certificate; may be given more than once
    #[arg(long, value_name = "NAME")]
    pub(super) server_name: Vec<String>,
    /// Trust domain of all identities
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub(super) trust_domain: String,
    /// Name of this cluster
    #[arg(long, default_value = "Kubernetes", value_name = "NAME")]
    pub(super) cluster_id: String,
    /// Suffix of service host names
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    pub(super) cluster_domain: String,
    /// Network of all addresses, unless the root namespace is labelled with one
    #[arg(long, default_value = "", value_name = "NAME")]
    pub(super) network: String,
    /// Namespace whose policies hold for the whole mesh
    #[arg(long, default_value = ambit_kubernetes::ROOT_NAMESPACE, value_name = "NAME")]
    pub(super) root_namespace: String,
    /// Network in which keys of token issuers (jwksUri) are fetched although it is not public; may be given more than once
    #[arg(long, value_name = "CIDR")]
    pub(super) jwks_allow_network: Vec<IpNet>,
    /// Fetch keys of token issuers without TLS, too: whoever is on the way can then issue tokens
    #[arg(long)]
    pub(super) jwks_allow_http: bool,
    /// Longest lifetime of a workload's certificate
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = duration)]
    pub(super) max_certificate_lifetime: Duration,
    /// Loopback address for readiness, metrics and debugging, or `off`
    #[arg(long, default_value = "127.0.0.1:15014", value_name = "ADDRESS:PORT|off", value_parser = admin)]
    pub(super) admin: Admin,
    /// Log format: plain or json
    #[arg(long, env = "LOG_FORMAT", default_value = "plain", value_name = "FORMAT")]
    pub(super) log_format: LogFormat,
    /// Log level: LEVEL or TARGET=LEVEL,...
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "LEVEL")]
    pub(super) log_level: String,
}

#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    /// Name of the node, as in spec.nodeName of its pods
    #[arg(long, value_name = "NAME", required_unless_present = "workload")]
    pub(super) node: Option<NodeName>,
    /// Instead of all pods of a node one identity, such as a waypoint's; with --node for its pods there only
    #[arg(long, value_name = "NAMESPACE/SERVICEACCOUNT")]
    pub(super) workload: Option<WorkloadName>,
    /// State directory of the controller; the key is made if absent
    #[arg(long, value_name = "DIR")]
    pub(super) state: PathBuf,
    /// File to write, readable by its owner only; standard output if not given
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// How long the token is valid
    #[arg(long, default_value = "8760h", value_name = "DURATION", value_parser = duration)]
    pub(super) lifetime: Duration,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    /// Directory of YAML files
    #[arg(long, value_name = "DIR")]
    pub(super) config: PathBuf,
}

impl TokenArguments {
    /// Whom the token is for; one of the two is there.
    pub(super) fn caller(&self) -> Option<Caller> {
        match (&self.workload, &self.node) {
            (Some(workload), node) => Some(workload.clone().on(node.clone()).into()),
            (None, node) => node.as_ref().map(Caller::from),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wanted = "it is no address with a port up to 65535; write one such as 10.0.0.1:15012 or [::]:15012";
    text.parse().map_err(|_| wanted.to_owned())
}

/// Where the admin server listens, if anywhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admin(pub(super) Option<SocketAddr>);

fn admin(text: &str) -> Result<Admin, String> {
    match text {
        "off" => Ok(Admin(None)),
        address => address
            .parse()
            .map(|address| Admin(Some(address)))
            .map_err(|_| "it is neither ADDRESS:PORT nor off".to_owned()),
    }
}

/// A duration of at least a second.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = parse_duration(text).map_err(|error| format!("{error}; write one such as 24h or 90m"))?;
    if duration < Duration::from_secs(1) {
        Err("it is shorter than a second".to_owned())
    } else {
        Ok(duration)
    }
}
