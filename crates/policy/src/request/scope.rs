//! Which objects apply to the requests for a service or through a gateway?

use ambit_model::Text;
use ambit_model::l7::{Target, Unreadable};
use ambit_model::service::ServiceKey;

/// Where requests go and what they go through: what targets are compared with.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The service that was dialled; `None` at a gateway of its own, where the route decides.
    pub service: Option<&'a ServiceKey>,
    /// Namespace and name of the Gateway that this proxy is.
    pub gateway: (&'a Text, &'a Text),
    /// Its class.
    pub class: &'a Text,
}

impl Scope<'_> {
    /// Whether an object with these targets applies.
    pub fn is_targeted(&self, targets: &[Target]) -> bool {
        targets.iter().any(|target| match target {
            Target::Service(key) => self.service == Some(key),
            Target::Gateway { namespace, name } => self.gateway == (namespace, name),
            Target::GatewayClass(class) => self.class == class,
            Target::Namespace(namespace) => {
                self.service.map_or(self.gateway.0, |service| &service.namespace) == namespace
            }
            Target::Mesh => true,
        })
    }
}

/// Whether requests to its targets are answered 500: of a kind that is not known either.
pub(super) fn is_about_routes(unreadable: &Unreadable) -> bool {
    let about_calls = ["DestinationRule", "BackendTLSPolicy", "XBackendTrafficPolicy"];
    let about_others = ["AuthorizationPolicy", "RequestAuthentication", "Telemetry"];
    !about_calls.contains(&kind(unreadable)) && !about_others.contains(&kind(unreadable))
}

/// The kind in an object's name on the wire.
pub(super) fn kind(unreadable: &Unreadable) -> &str {
    unreadable.name.split('/').next().unwrap_or_default()
}
