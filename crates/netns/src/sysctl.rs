//! Which kernel switches of the current network namespace do we read and write?

use std::io;

/// Writes `/proc/sys/NAME` of the calling thread's network namespace.
pub(crate) fn write(name: &str, value: &str) -> io::Result<()> {
    std::fs::write(format!("/proc/sys/{name}"), value)
}

/// Reads `/proc/sys/NAME` of the calling thread's network namespace. Absent: the kernel does not know it.
pub(crate) fn read(name: &str) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/sys/{name}")).map(|value| value.trim().to_owned())
}

/// Whether [`write()`] would be let.
pub(crate) fn writable(name: &str) -> bool {
    std::fs::OpenOptions::new().write(true).open(format!("/proc/sys/{name}")).is_ok()
}

/// Whether IPv6 routes can be installed on loopback in the calling thread's network namespace.
pub(crate) fn ipv6_enabled() -> bool {
    // Absent: the kernel has no IPv6 at all.
    read("net/ipv6/conf/lo/disable_ipv6").is_ok_and(|value| value == "0")
}
