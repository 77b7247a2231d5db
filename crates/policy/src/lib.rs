//! Pure decisions about a connection: may it pass ([`authorize`]), and where to ([`balance`]); and about a request
//! ([`request`]).
//!
//! Nothing here does I/O, reads a clock or takes a lock; randomness is an argument. The path that lets a connection
//! pass allocates nothing.

pub mod authorize;
pub mod balance;
pub mod request;
pub mod verdict;

mod matching;

pub use authorize::authorize;
pub use balance::{Chosen, Family, NoEndpoint, choose, choose_waypoint};
pub use verdict::{Decision, DenyReason, DryRun, DryRunOutcome, Matched, Verdict};
