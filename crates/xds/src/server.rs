//! The server: what is published once goes to every client that may see it, and only what a client does not have.

mod connection;
mod mount;
mod service;
mod session;
mod store;
mod view;

pub use connection::{ConnectionError, serve_connection};
pub use mount::Mount;
pub use service::{Authorize, Lookup, Observer, Server};
pub use store::{Resource, Store};
pub use view::ClientView;
