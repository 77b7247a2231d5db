//! How do unmodified programs in the pods find the Services by name? By an `/etc/hosts` that only the demo's world sees.

use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use nix::mount::MsFlags;

use super::plan::{PODS, Pod};

const HOSTS: &str = "/etc/hosts";

/// Every name of the demo: `cart`, `cart.shop`, `cart.shop.svc` and `cart.shop.svc.cluster.local` for the Service, in
/// both families, and `cart.pod` for the pod itself, past its Service.
pub(crate) fn text(ipv6: bool) -> String {
    let mut text = String::from("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n");
    let used = |address: &std::net::IpAddr| ipv6 || address.is_ipv4();
    for pod in &PODS {
        let Pod { name, namespace, .. } = pod;
        for address in pod.virtual_addresses().iter().filter(|address| used(address)) {
            let _ = writeln!(
                text,
                "{address} {name} {name}.{namespace} {name}.{namespace}.svc {name}.{namespace}.svc.cluster.local"
            );
        }
        for address in pod.addresses().iter().filter(|address| used(address)) {
            let _ = writeln!(text, "{address} {name}.pod");
        }
    }
    text
}

/// Writes the names to `file` and puts it over `/etc/hosts` in this process's mount namespace.
pub(crate) fn cover(file: &Path, ipv6: bool) -> anyhow::Result<()> {
    std::fs::write(file, text(ipv6)).with_context(|| format!("cannot write {}", file.display()))?;
    nix::mount::mount(Some(file), HOSTS, None::<&str>, MsFlags::MS_BIND, None::<&str>).with_context(|| {
        format!("cannot mount {} over {HOSTS}: make sure that {HOSTS} exists", file.display())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_has_its_names() {
        let text = text(true);
        assert!(text.contains("10.96.0.12 cart cart.shop cart.shop.svc cart.shop.svc.cluster.local\n"));
        assert!(text.contains("fd96::c cart cart.shop "));
        assert!(text.contains("10.244.2.12 cart.pod\n"));
        assert!(text.contains("10.96.0.14 outsider outsider.outside "));
        assert!(!super::text(false).contains("fd96"));
    }
}
