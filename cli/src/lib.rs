//! The operator's hand: `ambit demo`, a whole mesh on one Linux machine, to watch and to play with.
//!
//! - [`arguments`]: the command line.
//! - [`mistyped`]: what a command line is told that cannot be read.
//! - [`demo`]: builds the mesh in a world of its own, runs the other programs in it as real processes, shows what they do.
//! - [`shop`]: the small HTTP programs that the demo's pods run. They know nothing of a mesh.
//!
//! The demo links none of the other programs' internals: it starts them, reads their logs and asks their ports, as any
//! operator could.

pub mod arguments;
pub mod demo;
pub mod mistyped;
pub mod shop;
