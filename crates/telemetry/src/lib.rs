//! What an operator sees: metrics, access log, process log, and the one place where a connection's end is reported.
//!
//! Names, labels, fields and wording are those of Istio's ztunnel; what is ours starts with `ambit_`.
//!
//! A flow makes one [`ConnectionReport`] when it accepts, tells it what it learns, and finishes it. Workers count in
//! series of their own ([`traffic::Worker`]); the control thread adds them up when it is scraped
//! ([`metrics::Registry::encode`]). Nothing on a worker waits for a scrape, a slow reader of the log, or another worker.

pub mod access_log;
pub mod flags;
pub mod labels;
pub mod log;
pub mod metrics;
pub mod report;
pub mod requests;
pub mod traffic;

pub use flags::ResponseFlag;
pub use labels::{Reporter, RequestFacts, RequestProtocol, SecurityPolicy, TrafficFacts, TrafficLabels};
pub use metrics::Registry;
pub use report::{ConnectionReport, Failure, HboneTarget};
pub use requests::{RequestFlags, RequestReport};
pub use traffic::{Traffic, TrafficLimits, Worker};
