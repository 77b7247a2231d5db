//! What a sidecar's init container puts into the pod: everything that leaves goes to 15001, everything that arrives to 15006.
//!
//! The chains are those of Istio's sidecar with its defaults: only TCP, and not what the sidecar itself sends, which is told
//! by its user id.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::network::Pod;

/// The user and group of a sidecar.
pub const SIDECAR_USER: u32 = 1337;
/// Where a sidecar takes what its pod sends.
pub const OUTBOUND: u16 = 15001;
/// Where it takes what arrives.
pub const INBOUND: u16 = 15006;
/// Where it delivers from, so that this is not captured again.
pub const DELIVERS_FROM: &str = "127.0.0.6";

/// The rules as `iptables-restore` reads them.
pub fn rules() -> String {
    format!(
        "*nat\n\
         :ISTIO_INBOUND - [0:0]\n:ISTIO_IN_REDIRECT - [0:0]\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n\
         -A PREROUTING -p tcp -j ISTIO_INBOUND\n\
         -A OUTPUT -p tcp -j ISTIO_OUTPUT\n\
         -A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN\n\
         -A ISTIO_INBOUND -p tcp --dport 15090 -j RETURN\n\
         -A ISTIO_INBOUND -p tcp --dport 15021 -j RETURN\n\
         -A ISTIO_INBOUND -p tcp --dport 15020 -j RETURN\n\
         -A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n\
         -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports {INBOUND}\n\
         -A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports {OUTBOUND}\n\
         -A ISTIO_OUTPUT -s {DELIVERS_FROM}/32 -o lo -j RETURN\n\
         -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --uid-owner {SIDECAR_USER} -j ISTIO_IN_REDIRECT\n\
         -A ISTIO_OUTPUT -o lo -m owner ! --uid-owner {SIDECAR_USER} -j RETURN\n\
         -A ISTIO_OUTPUT -m owner --uid-owner {SIDECAR_USER} -j RETURN\n\
         -A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -p tcp -m owner --gid-owner {SIDECAR_USER} -j ISTIO_IN_REDIRECT\n\
         -A ISTIO_OUTPUT -o lo -m owner ! --gid-owner {SIDECAR_USER} -j RETURN\n\
         -A ISTIO_OUTPUT -m owner --gid-owner {SIDECAR_USER} -j RETURN\n\
         -A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN\n\
         -A ISTIO_OUTPUT -j ISTIO_REDIRECT\n\
         COMMIT\n"
    )
}

/// Puts them into a pod.
pub fn apply(pod: &Pod) -> anyhow::Result<()> {
    let mut command = Command::new("iptables-restore");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child =
        pod.netns.spawn(&mut command).context("iptables-restore cannot be started: install iptables")?;
    child.stdin.take().context("no standard input")?.write_all(rules().as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "iptables-restore: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
