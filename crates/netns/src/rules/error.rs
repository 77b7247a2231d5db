//! Why could rules not be applied, checked or removed?

/// Why rules could not be applied, checked or removed.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// Not allowed.
    #[error(
        "the redirection rules may not be changed: CAP_NET_ADMIN is needed in the network namespace; run as root or in `unshare -Urn`"
    )]
    Denied,
    /// This kernel lacks what the renderer needs.
    #[error(
        "{backend} is not supported here ({reason}): choose the other renderer or load its kernel modules"
    )]
    Unsupported {
        /// `nftables` or `iptables`.
        backend: &'static str,
        /// The system's words.
        reason: String,
    },
    /// The kernel refused a part of the rules; nothing was changed.
    #[error(
        "the kernel refused {part} ({reason}): nothing was changed; check the kernel's nf_tables modules"
    )]
    Refused {
        /// Which part.
        part: String,
        /// The kernel's words.
        reason: String,
    },
    /// Somebody else's route is where ours must be.
    #[error(
        "routing table {table} has another {family} default route: delete it (ip route flush table {table})"
    )]
    RouteTaken {
        /// The table.
        table: u32,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The policy routing could not be read or changed.
    #[error("cannot {action} ({reason}): check the namespace's routing rules (ip rule)")]
    Routing {
        /// What was tried.
        action: String,
        /// The kernel's words.
        reason: String,
    },
    /// Loopback could not be raised.
    #[error("loopback cannot be raised ({0}): run `ip link set lo up` in the namespace")]
    Loopback(crate::links::LinkError),
    /// A tool is not installed, or not for us.
    #[error(
        "{0} is not installed, or may not be run: install iptables, or use the nftables renderer, which needs no tool"
    )]
    MissingTool(String),
    /// A tool failed.
    #[error("{tool} failed ({reason}): check that the kernel supports it, and that nobody holds its lock")]
    Tool {
        /// The program.
        tool: String,
        /// Its last line.
        reason: String,
    },
}
