//! An Envoy in each pod, as Istio's sidecar mode has it.

use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use nix::mount::{MsFlags, mount};

use super::capture::{self, SIDECAR_USER};
use super::certificates::{self, Files, identity};
use super::envoy::{ADMIN, Sidecar};
use super::network::Pod;
use super::part::{Part, command};
use super::path::Mode;
use super::{CLIENT, PORT, Programs, SERVER, get};

/// Envoy's worker threads: Istio's default for a sidecar.
pub(super) const CONCURRENCY: &str = "2";

/// Starts both, waits until they serve, and redirects the pods to them.
pub(super) fn start(
    client: &Pod,
    server: &Pod,
    programs: &Programs,
    mode: Mode,
    directory: &Path,
) -> anyhow::Result<Vec<Part>> {
    let files = certificates::make(&directory.join("certificates"), [CLIENT, SERVER])?;
    let to = server.at(PORT);
    let mut parts = Vec::new();
    for (pod, files) in [client, server].into_iter().zip(&files) {
        parts.push(start_one(pod, files, to, programs, mode, directory)?);
    }
    Ok(parts)
}

/// One sidecar: its process, and then the rules of its pod.
pub(crate) fn start_one(
    pod: &Pod,
    files: &Files,
    to: SocketAddr,
    programs: &Programs,
    mode: Mode,
    directory: &Path,
) -> anyhow::Result<Part> {
    chown(&files.key, Some(SIDECAR_USER), Some(SIDECAR_USER))?;
    let sidecar =
        Sidecar { mode, files, upstream: (to, identity(SERVER)), caller: identity(CLIENT), port: PORT };
    let config = directory.join(format!("envoy-{}.json", pod.name));
    std::fs::write(&config, serde_json::to_vec_pretty(&sidecar.bootstrap())?)?;
    let mut starting = command(&reachable(programs)?);
    starting.args([
        "--concurrency",
        CONCURRENCY,
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--config-path",
    ]);
    starting.arg(&config).uid(SIDECAR_USER).gid(SIDECAR_USER);
    let mut envoy = Part::start(&format!("envoy-{}", pod.name), &pod.netns, &mut starting, directory)?;
    envoy.until("is live", |_| {
        get(&pod.netns, ADMIN, "/ready").filter(|text| text.contains("LIVE")).map(drop)
    })?;
    capture::apply(pod)?;
    Ok(envoy)
}

/// Envoy under a path that the sidecar's user can reach, wherever the program itself is.
fn reachable(programs: &Programs) -> anyhow::Result<PathBuf> {
    let there = Path::new("/run/envoy");
    if !there.exists() {
        let envoy = programs.envoy.as_deref().context("sidecars need --envoy")?;
        std::fs::write(there, "")?;
        mount(Some(envoy), there, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .context("cannot mount Envoy")?;
    }
    Ok(there.to_owned())
}

/// Fails unless both sidecars have done handshakes.
pub(super) fn prove(pods: &[Pod]) -> anyhow::Result<()> {
    for pod in pods {
        let stats = get(&pod.netns, ADMIN, "/stats?filter=ssl.handshake").unwrap_or_default();
        let number = |line: &str| line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok());
        let handshakes: u64 = stats.lines().filter_map(number).sum();
        ensure!(handshakes > 0, "the sidecar of {} has not done a TLS handshake", pod.name);
    }
    Ok(())
}
