//! A change to the configuration: what one resource became.

use crate::service::ServiceKey;
use crate::{Policy, Service, Text, Unreadable, Workload};

/// One resource set or removed. Applying the same change twice is the same as applying it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A workload was added or replaced.
    Workload(Box<Workload>),
    /// A service was added or replaced, or what is left of one that cannot be read ([`Change::unreadable`]).
    Service(Box<Service>),
    /// A policy was added or replaced.
    Policy(Box<Policy>),
    /// The workload with this uid, or the service with this `namespace/hostname`, is gone.
    RemoveAddress(Text),
    /// The policy with this `namespace/name` is gone.
    RemovePolicy(Text),
}

impl Change {
    /// A workload or service was announced that cannot be read. The version of it that is in force stays so; where
    /// none is, its addresses are known to be somebody's.
    ///
    /// It travels as a service that is nothing but a claim ([`Service::unreadable`]).
    pub fn unreadable(claim: Unreadable) -> Self {
        let mut service = Service::new("", ServiceKey::new("", &claim.key));
        service.unreadable = Some(Box::new(claim));
        Self::Service(Box::new(service))
    }
}
