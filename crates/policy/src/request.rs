//! Pure decisions about a request, in the order in which they are made: canonical form, authentication, authorization,
//! route, filters, endpoint, retries.
//!
//! One [`Request`] serves every stage: what is matched, what is authorized, what is counted and what goes upstream are the
//! same path, host and headers.

pub mod authenticate;
mod authority;
pub mod authorize;
pub mod balance;
mod canonical;
mod client;
mod cors;
mod edit;
mod expression;
mod fault;
mod fields;
mod filters;
mod framing;
mod grpc;
mod head;
mod hop;
pub mod limit;
pub mod locality;
pub mod outlier;
mod path;
mod redirect;
pub mod retry;
mod rewrite;
pub mod routes;
mod rule;
#[cfg(test)]
mod sample;
mod scope;
mod session;
mod streams;
mod traffic;
mod value;

pub use authenticate::{Authenticator, Rejected};
pub use authority::Authority;
pub use authorize::{Judgement, PolicySet};
pub use canonical::{Raw, Refusal, Request, Scheme};
pub use client::{Client, Destination, Token};
pub use cors::{CorsOutcome, CorsPolicy};
pub use edit::{HeaderEdits, InvalidEdit};
pub use expression::{Expression, InvalidExpression, Patterns};
pub use fault::{Injected, draw, inject};
pub use fields::{decoded, query_pairs};
pub use filters::Filters;
pub use grpc::{grpc_response, grpc_status, grpc_timeout, told_status};
pub use head::Head;
pub use hop::{strip_claims_about_the_client, strip_connection, strip_trailers};
pub use path::{InvalidPath, normalize};
pub use redirect::{Location, Redirection};
pub use retry::{Retries, RetryPolicy, Timers};
pub use rewrite::{Changed, PathChange};
pub use routes::{Outcome, Place, RouteTable};
pub use rule::{Choice, CompiledRule};
pub use scope::Scope;
pub use session::Session;
pub use streams::{StreamOutcome, StreamTable};
pub use traffic::{NoTraffic, Traffic, TrafficRules};
