//! Linux network namespaces, the links between them, and the rules that redirect a pod's traffic to its proxy.
//!
//! - [`Namespace`]: a handle to a network namespace; run code or a command inside it.
//! - [`links`]: veth pairs, bridges, addresses and routes.
//! - [`rules`]: what is redirected, as data, and two renderers that put it into the kernel: nf_tables and iptables.
//! - [`capture`]: raw frames from a link.
//! - [`world`]: namespaces for a whole process, with or without root, that vanish with it.
//!
//! Everything works in an unprivileged user namespace as well as for root, with IPv4 and IPv6.

pub mod capture;
mod interface;
pub mod links;
mod namespace;
mod netlink;
pub mod rules;
mod sys;
mod sysctl;
pub mod world;

pub use interface::{InterfaceName, InterfaceNameError};
pub use namespace::{
    CreateError, EnterError, Namespace, NamespaceId, OpenError, PersistError, SpawnError, unpersist,
};
