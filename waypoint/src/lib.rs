//! The L7 proxy: takes the requests of a mesh's clients out of their tunnels, decides about each, and sends it on to an
//! endpoint of its service through a tunnel of its own.
//!
//! Flows run on workers that share nothing but the configuration and the certificate; everything else runs on the
//! control thread. `ARCHITECTURE.md` has the map.

pub mod accept;
pub mod affinity;
pub mod ask;
pub mod body;
pub mod copy;
pub mod destinations;
pub mod endpoint;
pub mod exchange;
pub mod forward;
pub mod headers;
pub mod hello;
pub mod ingress;
pub mod judge;
pub mod limiters;
pub mod mirror;
pub mod network;
pub mod onward;
pub mod outgoing;
pub mod own;
pub mod process;
pub mod protocol;
pub mod proxy;
pub mod replay;
pub mod reply;
pub mod rule;
pub mod rules;
pub mod sent;
pub mod server;
pub mod session;
pub mod settings;
pub mod stale;
pub mod strict;
pub mod switch;
pub mod target;
pub mod tcp;
pub mod trace;
pub mod tunnel;
pub mod tunnels;
pub mod upstream;
