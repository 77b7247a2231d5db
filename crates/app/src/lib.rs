//! What every process has, whatever it does: settings, runtimes, readiness, an admin server, a graceful end.
//!
//! Nothing here knows the mesh. A program reads its [`settings`] once, starts its [`runtime`] threads, registers what
//! must come up in [`readiness`], serves [`admin`], and waits in [`shutdown`].

pub mod admin;
pub mod limits;
pub mod readiness;
pub mod runtime;
pub mod settings;
pub mod shutdown;

pub use admin::Routes;
pub use readiness::{Pending, Readiness};
pub use runtime::{Workers, control, worker_threads};
pub use settings::{Environment, SettingsError};
pub use shutdown::{Shutdown, Trigger};
