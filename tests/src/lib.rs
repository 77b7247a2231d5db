//! What the tests of the whole path share: a mesh of real programs in real network namespaces, and programs that use it.
//!
//! Everything here fails by panicking, as a test does. A test binary hands its tests to [`runner::main`], which moves the
//! process into a world of its own first: whatever a test makes (namespaces, processes, files) vanishes with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

pub mod certificates;
pub mod client;
pub mod discovery;
pub mod exchange;
pub mod fast_paths;
pub mod frames;
pub mod http;
pub mod load;
pub mod mesh;
pub mod pod;
pub mod process;
pub mod resources;
pub mod runner;
pub mod server;
pub mod topology;
pub mod wait;
pub mod wire;
