//! The L4 node proxy: captures the TCP traffic of the node's enrolled pods in their own network namespaces and carries
//! it over HBONE with each pod's own identity.
//!
//! Flows run on workers that share nothing but the configuration and the certificates; everything else runs on the
//! control thread. `ARCHITECTURE.md` has the map.

pub mod admin;
pub mod admit;
pub mod arrival;
pub mod capture;
pub mod connections;
pub mod doors;
pub mod hand_over;
pub mod inbound;
pub mod inbound_service;
pub mod inbound_target;
pub mod live;
pub mod network;
pub mod outbound;
pub mod outcome;
pub mod plaintext;
pub mod pod;
pub mod pods;
pub mod process;
pub mod proxy;
pub mod resolve;
pub mod same_node;
pub mod settings;
pub mod stale;
pub mod tunnels;
