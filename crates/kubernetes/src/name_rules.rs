//! What Kubernetes accepts as a name, so that names can be parts of identities and host names.

use crate::problem::quoted;

/// RFC 1123 label: namespaces and Services.
pub(crate) fn dns_label(text: &str) -> Result<(), String> {
    if is_label(text) {
        return Ok(());
    }
    Err(format!(
        "{} is not a DNS label; use at most 63 of a-z, 0-9 and -, with a letter or digit at both ends",
        quoted(text)
    ))
}

/// RFC 1123 subdomain: names of most other objects.
pub(crate) fn dns_subdomain(text: &str) -> Result<(), String> {
    if text.len() <= 253
        && text.split('.').all(|part| !part.is_empty() && part.len() <= 253 && is_label_of(part, 253))
    {
        return Ok(());
    }
    Err(format!(
        "{} is not a DNS name; use at most 253 of a-z, 0-9, - and ., with a letter or digit at both ends of each part",
        quoted(text)
    ))
}

/// RFC 6335 service name, as Kubernetes wants port names.
pub(crate) fn port_name(text: &str) -> Result<(), String> {
    let letters = text.bytes().any(|byte| byte.is_ascii_lowercase());
    if text.len() <= 15 && letters && !text.contains("--") && is_label(text) {
        return Ok(());
    }
    Err(format!(
        "{} is not a port name; use at most 15 of a-z, 0-9 and single -, with at least one letter",
        quoted(text)
    ))
}

fn is_label(text: &str) -> bool {
    is_label_of(text, 63)
}

fn is_label_of(text: &str, longest: usize) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= longest
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_subdomains_and_port_names() {
        assert!(dns_label("shop-1").is_ok());
        for bad in ["", "Shop", "-a", "a-", "a.b", "a/b", "ü", &"x".repeat(64)] {
            assert!(dns_label(bad).is_err(), "{bad}");
        }
        assert!(dns_subdomain("web-5c6.a.b").is_ok());
        for bad in ["", ".a", "a..b", "a/b", "A", &"x".repeat(254)] {
            assert!(dns_subdomain(bad).is_err(), "{bad}");
        }
        assert!(port_name("http-admin").is_ok());
        for bad in ["", "8080", "http--a", "sixteen-letters-", "HTTP", &"x".repeat(16)] {
            assert!(port_name(bad).is_err(), "{bad}");
        }
    }
}
