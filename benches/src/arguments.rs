//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// What a mesh costs: the same work over no mesh, Ambit, sidecars and other ztunnels.
#[derive(Debug, Parser)]
#[command(name = "ambit-bench", version)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures.
    Run(Box<Run>),
    /// The server of a path, in a pod (started by `run`).
    #[command(hide = true)]
    Serve {
        /// Where it listens.
        port: u16,
    },
    /// The client of a path, in a pod (started by `run`).
    #[command(hide = true)]
    Load {
        /// Where the server is.
        to: SocketAddr,
        /// What to do, as JSON.
        work: String,
    },
}

/// What is measured, and how long.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// At most 4 minutes: the most telling cases.
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Longer windows and more rounds.
    #[arg(long)]
    pub full: bool,
    /// A ztunnel that speaks Istio's wire, to be measured under our controller and agent. May be repeated.
    #[arg(long, value_name = "[NAME=]PATH")]
    pub ztunnel: Vec<String>,
    /// Our ztunnel once more with other settings, beside the default ones. May be repeated.
    #[arg(long, value_name = "NAME:VARIABLE=VALUE[,...]")]
    pub variant: Vec<String>,
    /// Only the cases whose names begin so.
    #[arg(long, value_name = "CASE", num_args = 1.., value_delimiter = ',')]
    pub only: Vec<String>,
    /// Only these paths; `direct` comes along.
    #[arg(long, value_name = "PATH", num_args = 1.., value_delimiter = ',')]
    pub paths: Vec<String>,
    /// Times that everything is measured.
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Length of a sample's window.
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Times that a disturbed sample is taken again.
    #[arg(long, default_value_t = 3)]
    pub again: usize,
    /// Where results are written.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where our programs are; beside this one by default.
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Envoy, for the sidecar paths.
    #[arg(long, value_name = "PATH")]
    pub envoy: Option<PathBuf>,
    /// What is measured, for the results.
    #[arg(long, value_name = "COMMIT", default_value = "unknown")]
    pub commit: String,
}
