//! A workload or service that was announced and could not be read: all that is known is where it is.

use crate::Text;
use crate::service::ServiceAddress;

/// What is left of a workload or service whose content could not be understood.
///
/// Nothing may be sent to its addresses in plaintext on the ground that nobody is known there: it may be a workload
/// that only speaks to proven peers, or a service whose waypoint must not be gone around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its name: a workload's uid or a service's `namespace/hostname`.
    pub key: Text,
    /// The addresses that it claims, as far as they could be read. A host-network workload claims none.
    pub addresses: Vec<ServiceAddress>,
    /// Why it could not be read, in one line.
    pub reason: Text,
}
