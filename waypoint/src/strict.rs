//! Gates between a client's bytes and the HTTP library: what the library would forgive is refused here, so that no proxy
//! in front of this one and no application behind it can see another message than the one that was judged.
//!
//! They look at the bytes where the library reads them, keep no copy of a body, and change nothing.

mod conduct;
mod fault;
mod floods;
mod framing;
mod gate;
mod line;
mod response;

pub use conduct::{Conduct, Http1, Http2};
pub use fault::{Fault, Verdict};
pub use floods::Floods;
pub use framing::Framing;
pub use gate::Gate;
pub use response::{Ambiguous, Interims, check as check_response};
