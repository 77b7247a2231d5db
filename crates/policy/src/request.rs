//! Pure decisions about a request, in the order in which they are made: canonical form, authorization, routes.
//!
//! One [`Request`] serves every stage: what is matched, what is authorized, what is counted and what goes upstream are the
//! same path, host and headers.

mod authority;
pub mod authorize;
mod canonical;
mod client;
mod expression;
mod fields;
mod framing;
mod path;
pub mod routes;
#[cfg(test)]
mod sample;
mod scope;

pub use authority::Authority;
pub use authorize::{Judgement, PolicySet};
pub use canonical::{Raw, Refusal, Request, Scheme};
pub use client::{Client, Destination, Token};
pub use expression::{Expression, InvalidExpression, Patterns};
pub use fields::{decoded, query_pairs};
pub use path::{InvalidPath, normalize};
pub use routes::{CompiledRule, Outcome, Place, RouteTable};
pub use scope::Scope;
