//! Does a listener that takes over get the connections that had begun with the one that closes?
//!
//! While one proxy replaces another, both listen on the same ports (`SO_REUSEPORT`). The kernel gives a connection to one
//! of the two at its first packet, a round trip before it can be accepted, and resets it when that listener closes
//! meanwhile, unless this switch is on. It stays on when the rules are taken out: a proxy may still be leaving.

use super::renderer::{Drift, Skipped};
use crate::sysctl;

/// IPv6's too. Since Linux 5.14.
const SWITCH: &str = "net/ipv4/tcp_migrate_req";

/// Turns it on, where that can be.
pub(super) fn apply() -> Option<Skipped> {
    if on() {
        return None;
    }
    sysctl::write(SWITCH, "1").err().map(|_| Skipped::Succession)
}

/// Whether it is off and could be on: what this process may not change is no drift.
pub(super) fn verify() -> Option<Drift> {
    let missing = || Drift::Missing(format!("{} = 1", SWITCH.replace('/', ".")));
    (!on() && sysctl::writable(SWITCH)).then(missing)
}

fn on() -> bool {
    sysctl::read(SWITCH).is_ok_and(|value| value == "1")
}
