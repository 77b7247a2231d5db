//! The nouns of the mesh: identity, address, workload, service, policy, snapshot and change.
//!
//! Nothing here does I/O, reads a clock, takes a lock or knows a wire format. A value that exists is valid:
//! text from outside becomes one of these types at the edge (`xds`, `kubernetes`, `identity`) or is refused there.

pub mod address;
pub mod change;
pub mod identity;
pub mod l7;
pub mod memberships;
pub mod policy;
pub mod service;
pub mod snapshot;
pub mod table;
pub mod traffic;
pub mod unreadable;
pub mod workload;

pub use address::NetworkAddress;
pub use change::Change;
pub use identity::Identity;
pub use memberships::Memberships;
pub use policy::Policy;
pub use service::Service;
pub use snapshot::Snapshot;
pub use unreadable::Unreadable;
pub use workload::Workload;

/// Immutable shared text. Names repeat across thousands of workloads, so they are shared, never copied.
pub type Text = std::sync::Arc<str>;
