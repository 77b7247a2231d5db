//! Where a VirtualService sends: hosts resolved, permissions asked for.

use ambit_kubernetes::istio::Destination;
use ambit_model::Text;
use ambit_model::l7::route::BackendRef;
use ambit_model::service::{ServiceKey, Visibility};

use super::notes::Unheard;
use super::{View, hosts};

/// The API group of VirtualServices.
const GROUP: &str = "networking.istio.io";

/// In what place names are looked up.
pub(super) struct Names<'a> {
    /// The namespace of the object in which they are written.
    pub(super) namespace: &'a str,
    /// Whether requests go on under an identity that its author does not own: that of a waypoint of another namespace.
    /// Then other namespaces must permit it, as for routes of the Gateway API.
    pub(super) lent: bool,
    /// The services that the VirtualService is for, to which their requests would go in any case.
    pub(super) own: &'a [ServiceKey],
    pub(super) view: &'a View<'a>,
}

impl Names<'_> {
    /// A place, and why it cannot be used.
    pub(super) fn resolve(
        &self,
        written: &Destination,
        field: &str,
        unheard: &mut Unheard<'_>,
    ) -> (BackendRef, Option<Text>) {
        let host = hosts::in_full(&written.host, self.namespace, self.view);
        let found = hosts::services(&host, self.namespace, self.view);
        let key = found.into_iter().next();
        let known = key.clone().unwrap_or_else(|| ServiceKey::new(self.namespace, &host));
        let service = self.view.service(&known);
        let port = written.port.map(|port| port.number);
        // The only port of a service needs no name; else it is the port that the client asked for.
        let only = service.and_then(|service| match &service.ports[..] {
            [port] => Some(port.service_port),
            _ => None,
        });
        let invalid = match service {
            None => Some(format!("no service has the host {host}")),
            Some(service)
                if service.visibility == Visibility::Namespace && *known.namespace != *self.namespace =>
            {
                Some(format!("{known} is not exported here"))
            }
            Some(_) if !self.may_send_to(&known) => {
                Some(format!("{known} is in another namespace; permit it by a ReferenceGrant there"))
            }
            Some(service) => {
                let missing = port.filter(|port| !service.ports.iter().any(|one| one.service_port == *port));
                missing.map(|port| format!("{known} has no port {port}"))
            }
        };
        if let Some(why) = &invalid {
            unheard.note(field, &format!("{why}, so its share is answered 500"));
        }
        let subset = (!written.subset.is_empty()).then(|| written.subset.as_str().into());
        (BackendRef { service: known, port: port.or(only).unwrap_or(0), subset }, invalid.map(Into::into))
    }

    fn may_send_to(&self, key: &ServiceKey) -> bool {
        let name = key.hostname.split('.').next().unwrap_or_default();
        let from = (GROUP, "VirtualService", self.namespace);
        !self.lent
            || *key.namespace == *self.namespace
            || self.own.contains(key)
            || self.view.objects.gateway_api.grants(from, &key.namespace, ("", "Service", name))
    }
}
