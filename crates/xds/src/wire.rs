//! One resource: Istio's messages to the model and back.
//!
//! A workload or service that cannot be read is rejected, and the previous version of it stays in force; where there
//! is none, what is left of it are the addresses that it claims. A policy that cannot be read in full is applied all the same, narrowed: what is unknown in a rule makes that rule never allow and
//! always deny, what is unknown outside of the rules makes the policy deny everything in its scope.

mod address;
mod claims;
mod encode;
mod fields;
mod l7;
mod policy;
mod service;
mod texts;
mod workload;

use std::fmt;

use ambit_model::Text;

pub use claims::decode_claims;
pub use encode::{encode_policy, encode_service, encode_workload};
pub use l7::{decode_l7, encode_l7};
pub use policy::{decode_policy, unusable_policy};
pub use texts::Texts;
pub use workload::decode_address;

/// Why a resource was not accepted. As text: `name: reason`, the form in which it is reported to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The resource's name.
    pub name: Text,
    /// What is wrong with it, in one line.
    pub reason: Text,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests;
