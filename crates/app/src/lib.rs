//! What every process has, whatever it does: settings, runtimes, readiness, an admin server, a graceful end; and what
//! the proxies among them have alike: settings, operators' ports, dumps, the meaning of a relay's end.
//!
//! A program reads its [`settings`] once, starts its [`runtime`] threads, registers what
//! must come up in [`readiness`], serves [`admin`], and waits in [`shutdown`].

pub mod admin;
pub mod certificate_metrics;
pub mod limits;
pub mod operators;
pub mod outcome;
pub mod program;
pub mod readiness;
pub mod runtime;
pub mod settings;
pub mod shutdown;

pub use admin::Routes;
pub use operators::Operators;
pub use program::Program;
pub use readiness::{Pending, Readiness};
pub use runtime::{Load, Workers, control, worker_threads};
pub use settings::{Environment, SettingsError};
pub use shutdown::{Shutdown, Trigger};
