//! The kinds of resource that travel, and their type URLs.

use std::fmt;

use ambit_proto::{ADDRESS_TYPE, AUTHORIZATION_TYPE, L7_TYPE};

/// A kind of resource. Names are unique within a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Workloads, named by uid, and services, named `namespace/hostname` (`istio.workload.Address`).
    Address,
    /// Policies, named `namespace/name` (`istio.security.Authorization`).
    Authorization,
    /// What waypoints and gateways do with requests, named `kind/namespace/name` (`ambit.l7.Resource`).
    L7,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Address, Self::Authorization, Self::L7];

    /// The type URL on the wire.
    pub fn type_url(self) -> &'static str {
        match self {
            Self::Address => ADDRESS_TYPE,
            Self::Authorization => AUTHORIZATION_TYPE,
            Self::L7 => L7_TYPE,
        }
    }

    /// The kind with this type URL, `None` for one that is not known here.
    pub fn from_type_url(url: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.type_url() == url)
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Address => 0,
            Self::Authorization => 1,
            Self::L7 => 2,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "Address",
            Self::Authorization => "Authorization",
            Self::L7 => "L7",
        })
    }
}
