//! Which service is meant by a host in one of Istio's objects, and whose clients obey such an object.

use ambit_model::Text;
use ambit_model::service::ServiceKey;

use super::View;

/// A host in full: one without dots is a Service of the object's namespace (Istio).
pub(super) fn in_full(host: &str, namespace: &str, view: &View<'_>) -> Text {
    let host = host.to_ascii_lowercase();
    if host.contains('.') || host.starts_with('*') {
        return host.into();
    }
    view.objects.service_key_of(namespace, &host).hostname
}

/// The published services whose host this is, or whose hosts it covers (`*`); in the order of their keys, first those of
/// `namespace`.
pub(super) fn services(host: &str, namespace: &str, view: &View<'_>) -> Vec<ServiceKey> {
    let mut keys: Vec<ServiceKey> = match host.strip_prefix('*') {
        None => view.hosts.get(host).into_iter().flatten().cloned().collect(),
        Some(end) => {
            let covered = view.hosts.iter().filter(|(name, _)| name.len() > end.len() && name.ends_with(end));
            covered.flat_map(|(_, keys)| keys).cloned().collect()
        }
    };
    keys.sort_by_key(|key| (*key.namespace != *namespace, key.clone()));
    keys
}

/// Whether everything under a host belongs to a namespace: whoever may write objects there may say how it is called.
pub(super) fn is_of(host: &str, namespace: &str, view: &View<'_>) -> bool {
    if host.ends_with(&format!(".{namespace}.svc.{}", view.objects.mesh.cluster_domain)) {
        return true;
    }
    let services = services(host, namespace, view);
    !services.is_empty() && services.iter().all(|key| *key.namespace == *namespace)
}

/// The namespaces of the clients that obey an object with this `exportTo`: none means all, `None` nobody.
pub(super) fn exported(export_to: &[String], namespace: &str) -> Option<Vec<Text>> {
    if export_to.is_empty() || export_to.iter().any(|value| value == "*") {
        return Some(Vec::new());
    }
    let named = export_to.iter().filter(|value| *value != "~");
    let names: Vec<Text> =
        named.map(|value| if value == "." { namespace.into() } else { value.as_str().into() }).collect();
    (!names.is_empty()).then_some(names)
}
