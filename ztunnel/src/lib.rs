//! The L4 node proxy: captures the TCP traffic of the node's enrolled pods in their own network namespaces and carries
//! it over HBONE with each pod's own identity.

pub mod configuration;
pub mod dump;
pub mod live;
pub mod pod;
pub mod resolve;
pub mod settings;
