//! Bytes between sockets: listen, dial, relay, drain. Knows no mesh: no identity, no policy, no HTTP.
//!
//! Nothing here enters a network namespace. Calls that create a socket ([`listen::tcp_listener`], [`dial::socket`])
//! are synchronous, so that a caller can make them from inside a pod's namespace and use the socket outside of it.

pub mod accept;
pub mod destination;
pub mod dial;
pub mod drain;
pub mod handshakes;
pub mod listen;
pub mod peer;
pub mod relay;
pub mod socket;

pub use accept::{Accepted, Listeners, accept_loop};
pub use destination::original_destination;
pub use dial::{DialError, DialOptions, Keepalive};
pub use drain::{Drain, Mode, Watch};
pub use handshakes::Handshakes;
pub use listen::{ListenError, ListenOptions, tcp_listener};
pub use peer::canonical;
pub use relay::{Abort, Ahead, ByteCounters, CloseReason, Counters, Limits, RelayError, Relayed, relay};
pub use socket::{Socket, Tap};
