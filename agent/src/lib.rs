//! The node agent: finds the pods of its node, applies the redirection rules, hands their namespaces to ztunnel.
//!
//! One level-triggered loop: pod seen, namespace found, rules applied, handed to ztunnel, accepted. What to do next is
//! decided purely in [`plan`]; everything else is thin I/O around it. The truth is in the node: whether rules are in
//! place is read from the kernel, never from an annotation.

pub mod arguments;
pub mod check;
pub mod cleanup;
mod controller;
mod history;
mod node_name;
mod one_per_node;
mod operators;
mod paths;
pub mod plan;
pub mod process;
mod reconcile;
mod redirect;
mod released;
mod source;
mod threads;
mod wanted;
mod zds_path;

pub use node_name::{NodeName, NodeNameError};
pub use wanted::{Membership, Pods, Wanted, wanted};
