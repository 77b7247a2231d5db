//! Everything that can be scraped: a registry of metric families, and the families that processes share.
//!
//! Metrics are made and registered at start; afterwards counting is one atomic addition. Families that are labelled by
//! outside text keep at most [`MOST_SERIES`] series and count the rest under `overflow`.

pub mod exposition;
pub mod family;
pub mod instrument;
pub mod process;
pub mod registry;
pub mod workload_manager;
pub mod xds;

pub use exposition::{Exposition, Format};
pub use family::{Family, MOST_SERIES};
pub use instrument::{Counter, Gauge, Instrument, Kind};
pub use registry::{Collect, Registry};
pub use workload_manager::WorkloadManagerMetrics;
pub use xds::{TerminationReason, XdsMetrics};
