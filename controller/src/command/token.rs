//! `controller token`: works beside a running controller, and before there ever was one.

use std::process::ExitCode;

use ambit_identity::Clock;

use super::arguments::TokenArguments;
use super::{Outcome, complain, say};
use crate::state::{Access, StateDirectory, write_whole};
use crate::tokens::Tokens;

/// A token file that could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the token file {} cannot be written: {source}; name another with --out", path.display())]
struct OutError {
    path: std::path::PathBuf,
    source: std::io::Error,
}

pub(super) fn run(arguments: &TokenArguments) -> Outcome {
    let caller = arguments.caller().ok_or("name a node with --node, or an identity with --workload")?;
    let state = StateDirectory::open(&arguments.state)?;
    let (tokens, made) = Tokens::load_or_make(&state)?;
    if made {
        // A wrong --state would else show only when the controller refuses the token.
        let directory = arguments.state.display();
        complain(&format!(
            "made a new token key in {directory}: only a controller with --state {directory} accepts its tokens"
        ));
    }
    let token = tokens.mint(caller, arguments.lifetime, Clock::system().now());
    match &arguments.out {
        None => say(&token),
        // Without a line's end: Istio's ztunnel sends the file's bytes unchanged, as Kubernetes writes its tokens.
        Some(path) => write_whole(path, Access::Private, token.as_bytes())
            .map_err(|source| OutError { path: path.clone(), source })?,
    }
    Ok(ExitCode::SUCCESS)
}
