//! Which requests are logged? (Istio Telemetry `accessLogging`)

use std::cmp::Reverse;

use ambit_model::l7::Target;
use ambit_model::l7::telemetry::{AccessLog, Telemetry};
use ambit_policy::request::Scope;

/// The least status of requests that are logged, by the objects that apply in one place: what a nearer one says goes before
/// what a wider one says, field by field; among equals the oldest counts. Above every status: none is.
pub(super) fn log_from<'t>(objects: impl Iterator<Item = &'t Telemetry>, scope: &Scope<'_>) -> u16 {
    let mut objects: Vec<&Telemetry> = objects.collect();
    objects.sort_by_cached_key(|object| {
        let targets = object.targets.iter().filter(|target| scope.is_targeted(std::slice::from_ref(target)));
        (Reverse(targets.map(nearness).max()), object.created, object.key.clone())
    });
    let mut said = AccessLog::default();
    for log in objects.iter().filter_map(|object| object.access_log.as_ref()) {
        said.disabled = said.disabled.or(log.disabled);
        said.minimum_status = said.minimum_status.or(log.minimum_status);
    }
    match said {
        AccessLog { disabled: Some(true), .. } => u16::MAX,
        AccessLog { minimum_status, .. } => minimum_status.unwrap_or(0),
    }
}

fn nearness(target: &Target) -> u8 {
    match target {
        Target::Service(_) => 4,
        Target::Gateway { .. } => 3,
        Target::GatewayClass(_) => 2,
        Target::Namespace(_) => 1,
        Target::Mesh => 0,
    }
}

#[cfg(test)]
mod tests {
    use ambit_model::l7::{ObjectKey, ObjectKind};
    use ambit_model::service::ServiceKey;

    use super::*;

    #[test]
    fn the_nearest_word_counts_field_by_field() {
        let key = ServiceKey::new("shop", "cart");
        let (namespace, name, class) = ("shop".into(), "w".into(), "ambit-waypoint".into());
        let scope = Scope { service: Some(&key), gateway: (&namespace, &name), class: &class };
        let object = |name: &str, target, disabled, minimum_status| Telemetry {
            key: ObjectKey::new(ObjectKind::Telemetry, "shop", name),
            created: 0,
            targets: vec![target],
            tracing: None,
            access_log: Some(AccessLog { disabled, minimum_status }),
            metrics: Vec::new(),
        };
        let mesh = object("mesh", Target::Mesh, Some(true), Some(400));
        let own = object("namespace", Target::Namespace("shop".into()), Some(false), None);
        let service = object("service", Target::Service(key.clone()), None, Some(500));
        let of = |objects: &[&Telemetry]| log_from(objects.iter().copied(), &scope);
        assert_eq!(of(&[]), 0);
        assert_eq!(of(&[&mesh]), u16::MAX);
        assert_eq!(of(&[&mesh, &own]), 400);
        assert_eq!(of(&[&service, &mesh, &own]), 500);
        let other = object("other", Target::Service(ServiceKey::new("shop", "other")), Some(true), None);
        assert_eq!(
            of(&[&own, &Telemetry { targets: [own.targets.clone(), other.targets].concat(), ..own.clone() }]),
            0
        );
    }
}
