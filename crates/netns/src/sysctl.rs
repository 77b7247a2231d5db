//! Which kernel switches of the current network namespace do we read and write?

use std::io;

/// Writes `/proc/sys/NAME` of the calling thread's network namespace.
pub(crate) fn write(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value)
}

/// Whether IPv6 routes can be installed on loopback in the calling thread's network namespace.
pub(crate) fn ipv6_enabled() -> bool {
    // Absent: the kernel has no IPv6 at all.
    std::fs::read_to_string("/proc/sys/net/ipv6/conf/lo/disable_ipv6").is_ok_and(|value| value.trim() == "0")
}
