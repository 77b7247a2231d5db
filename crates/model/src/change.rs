//! A change to the configuration: what one resource became.

use crate::{Policy, Service, Text, Unreadable, Workload, l7};

/// One resource set or removed. Applying the same change twice is the same as applying it once.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A workload was added or replaced.
    Workload(Box<Workload>),
    /// A service was added or replaced.
    Service(Box<Service>),
    /// A policy was added or replaced.
    Policy(Box<Policy>),
    /// A workload or service was announced that cannot be read. The version of it that is in force stays so; where
    /// none is, its addresses are known to be somebody's.
    Unreadable(Box<Unreadable>),
    /// The workload with this uid, or the service with this `namespace/hostname`, is gone.
    RemoveAddress(Text),
    /// The policy with this `namespace/name` is gone.
    RemovePolicy(Text),
    /// What a waypoint does with requests was added or replaced.
    L7(Box<l7::Resource>),
    /// An object for waypoints was announced that cannot be read. It takes the place of the version that was in force.
    UnreadableL7(Box<l7::Unreadable>),
    /// The object for waypoints with this name is gone.
    RemoveL7(Text),
}
