//! Who puts rules into the kernel, and what does it report?

use std::fmt;
use std::str::FromStr;

use super::{Iptables, Nftables, RuleError, RuleSet};

/// Puts a [`RuleSet`] into the CURRENT network namespace, checks it, and takes it out again. Callers use
/// [`crate::Namespace::run`] around it. Foreign tables, chains, rules and routes are never touched.
pub trait Renderer: fmt::Debug + Send + Sync {
    /// Brings the namespace to exactly these rules, whatever rules of ours were there before: policy routing first,
    /// rules last, so that no mark ever points to a missing table. On error the former rules stay in force.
    fn apply(&self, rules: &RuleSet) -> Result<Applied, RuleError>;

    /// Every difference between these rules and the namespace; empty when all is in place.
    fn verify(&self, rules: &RuleSet) -> Result<Vec<Drift>, RuleError>;

    /// Takes out every rule of ours, then the policy routing of `rules`. Succeeds when nothing is there.
    fn remove(&self, rules: &RuleSet) -> Result<(), RuleError>;

    /// Which one this is.
    fn backend(&self) -> Backend;
}

/// What [`Renderer::apply`] did beside the rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// Parts that this namespace cannot have.
    pub skipped: Vec<Skipped>,
    /// Loopback was down and was raised; it is not taken down again by [`Renderer::remove`].
    pub loopback_raised: bool,
}

/// What the namespace cannot have, and captures traffic without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipped {
    /// IPv6 is disabled in the namespace (`net.ipv6.conf.lo.disable_ipv6`), so its rules and routes are left out.
    Ipv6Disabled,
    /// `net.ipv4.tcp_migrate_req` cannot be set.
    Succession,
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipv6Disabled => {
                f.write_str("IPv6 is disabled in the namespace: its redirection was left out")
            }
            Self::Succession => f.write_str(
                "net.ipv4.tcp_migrate_req cannot be set in the namespace (Linux 5.14 and a writable /proc/sys are \
                 needed): a connection that begins in the moment in which a proxy is replaced may be reset",
            ),
        }
    }
}

/// One difference between the wanted rules and the kernel's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Drift {
    /// Something wanted is not there.
    Missing(String),
    /// Something of ours is there that is not wanted.
    Unexpected(String),
    /// Something wanted is there, but not as wanted.
    Altered(String),
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "missing: {what}"),
            Self::Unexpected(what) => write!(f, "unexpected: {what}"),
            Self::Altered(what) => write!(f, "altered: {what}"),
        }
    }
}

/// A way to put rules into the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Backend {
    /// nf_tables over netlink; needs no tool.
    Nftables,
    /// The `iptables-restore` and `ip6tables-restore` programs.
    Iptables,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        })
    }
}

/// Not the name of a renderer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a renderer: use nftables or iptables")]
pub struct BackendError(pub String);

impl FromStr for Backend {
    type Err = BackendError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "nftables" => Ok(Self::Nftables),
            "iptables" => Ok(Self::Iptables),
            other => Err(BackendError(other.to_owned())),
        }
    }
}

/// A renderer that works in the current network namespace: `wanted`, or, for `None`, nf_tables when the kernel takes
/// the rules and iptables otherwise. Changes nothing. The error is the first choice's.
pub fn detect(wanted: Option<Backend>) -> Result<Box<dyn Renderer>, RuleError> {
    match wanted {
        Some(Backend::Nftables) => Nftables::probe().map(boxed),
        Some(Backend::Iptables) => Iptables::probe().map(boxed),
        None => match Nftables::probe() {
            Ok(renderer) => Ok(boxed(renderer)),
            // The other one needs the same privilege.
            Err(RuleError::Denied) => Err(RuleError::Denied),
            Err(first) => Iptables::probe().map(boxed).map_err(|_| first),
        },
    }
}

fn boxed(renderer: impl Renderer + 'static) -> Box<dyn Renderer> {
    Box::new(renderer)
}
