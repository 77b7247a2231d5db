//! The control plane: Kubernetes and Istio resources in, configuration and certificates out.
//!
//! One direction, `source -> validate -> index -> serve`, with one writer: [`source`] reads the directory, [`publish`]
//! holds what is in force, [`index`] maps it purely, and [`serve`] answers nodes that prove themselves by a token
//! ([`tokens`]). [`issue`] signs certificates for pods that live on the asking node.

pub mod admin;
pub mod authority;
pub mod captured;
pub mod check;
pub mod command;
pub mod discovery;
pub mod index;
pub mod issue;
pub mod keys;
pub mod metrics;
pub mod names;
pub mod publish;
pub mod run;
pub mod serve;
pub mod settings;
pub mod source;
pub mod state;
pub mod tokens;

pub use run::{Controller, StartError};
pub use settings::{MeshSettings, Settings};
