//! Does a name with a `*` in front cover a host name?

/// Whether a name (`*.` allowed in front, `*` alone is any) covers a host name; both in lower case.
pub(in crate::request) fn covers(name: &str, host: &str) -> bool {
    match name.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => name == host,
    }
}
