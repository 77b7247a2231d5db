//! Why there is no certificate.

use std::sync::Arc;

use ambit_model::Identity;

/// Why an identity has no (new) certificate. Cheap to clone: all that wait get the same one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It could not be had; another attempt follows by itself.
    #[error("no certificate for {identity}: {reason}")]
    Unavailable {
        /// For whom.
        identity: Identity,
        /// One line.
        reason: Arc<str>,
    },
    /// The process is ending.
    #[error("no certificate for {identity}: this process is shutting down")]
    Stopped {
        /// For whom.
        identity: Identity,
    },
}
