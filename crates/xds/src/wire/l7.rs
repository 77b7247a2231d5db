//! What waypoints do with requests: one message per object, its content as JSON (docs/decisions/0015-l7-wire.md).

use ambit_model::l7::{Resource, Target, Unreadable};
use ambit_model::service::ServiceKey;
use ambit_model::{Change, Text};
use ambit_proto::ambit::l7 as proto;
use bytes::Bytes;
use prost::Message;

use super::Rejection;

/// The message of an object.
pub fn encode_l7(resource: &Resource) -> proto::Resource {
    // Serialisation into memory fails only for maps with keys that are no text, of which there are none.
    let content = serde_json::to_vec(resource).unwrap_or_default();
    proto::Resource { targets: resource.targets().iter().map(encode_target).collect(), content }
}

/// The change that a payload called `name` makes. One that cannot be read becomes [`Change::UnreadableL7`], with the
/// targets that could be, beside the reason.
pub fn decode_l7(payload: Result<Bytes, String>, name: &Text) -> (Change, Option<Rejection>) {
    let (targets, reason) = match payload {
        Err(reason) => (vec![Target::Mesh], reason),
        Ok(bytes) => match proto::Resource::decode(bytes) {
            Err(error) => (vec![Target::Mesh], format!("it is not an ambit.l7.Resource: {error}")),
            Ok(message) => match read(&message, name) {
                Ok(resource) => return (Change::L7(Box::new(resource)), None),
                Err(reason) => (decode_targets(&message.targets), reason),
            },
        },
    };
    let reason: Text = reason.into();
    let unreadable = Unreadable { name: name.clone(), targets, reason: reason.clone() };
    (Change::UnreadableL7(Box::new(unreadable)), Some(Rejection { name: name.clone(), reason }))
}

fn read(message: &proto::Resource, name: &Text) -> Result<Resource, String> {
    let resource: Resource = serde_json::from_slice(&message.content).map_err(|error| error.to_string())?;
    if resource.name() != *name {
        return Err(format!("it says that its name is {}", resource.name()));
    }
    Ok(resource)
}

fn encode_target(target: &Target) -> proto::Target {
    use proto::target::{Gateway, Of, Service};
    let of = match target {
        Target::Service(ServiceKey { namespace, hostname }) => {
            Of::Service(Service { namespace: namespace.to_string(), hostname: hostname.to_string() })
        }
        Target::Gateway { namespace, name } => {
            Of::Gateway(Gateway { namespace: namespace.to_string(), name: name.to_string() })
        }
        Target::GatewayClass(class) => Of::GatewayClass(class.to_string()),
        Target::Namespace(namespace) => Of::Namespace(namespace.to_string()),
        Target::Mesh => Of::Mesh(true),
    };
    proto::Target { of: Some(of) }
}

/// A target of a kind that is not known may be anything, so it is everything.
fn decode_targets(targets: &[proto::Target]) -> Vec<Target> {
    use proto::target::Of;
    let decode = |target: &proto::Target| match &target.of {
        Some(Of::Service(service)) => Target::Service(ServiceKey::new(&service.namespace, &service.hostname)),
        Some(Of::Gateway(gateway)) => Target::Gateway {
            namespace: gateway.namespace.as_str().into(),
            name: gateway.name.as_str().into(),
        },
        Some(Of::GatewayClass(class)) => Target::GatewayClass(class.as_str().into()),
        Some(Of::Namespace(namespace)) => Target::Namespace(namespace.as_str().into()),
        Some(Of::Mesh(_)) | None => Target::Mesh,
    };
    targets.iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_model::l7::policy::PolicyAction;
    use ambit_model::l7::{ObjectKey, ObjectKind, RequestPolicy};

    fn policy() -> Resource {
        let service = Target::Service(ServiceKey::new("shop", "cart.shop.svc.cluster.local"));
        let gateway = Target::Gateway { namespace: "shop".into(), name: "waypoint".into() };
        Resource::Policy(RequestPolicy {
            key: ObjectKey::new(ObjectKind::AuthorizationPolicy, "shop", "cart"),
            action: PolicyAction::Custom("opa".into()),
            dry_run: false,
            targets: vec![service, gateway, Target::Mesh],
            rules: Vec::new(),
            unusable: None,
        })
    }

    #[test]
    fn an_object_arrives_as_it_was_sent() {
        let sent = policy();
        let bytes = encode_l7(&sent).encode_to_vec();
        let (change, rejection) = decode_l7(Ok(bytes.into()), &sent.name());
        assert_eq!(change, Change::L7(Box::new(sent)));
        assert_eq!(rejection, None);
    }

    #[test]
    fn an_object_of_a_newer_version_keeps_its_targets() {
        let sent = policy();
        let mut message = encode_l7(&sent);
        let content = String::from_utf8(message.content).unwrap();
        message.content = content.replacen("\"dry_run\"", "\"not_yet_known\":1,\"dry_run\"", 1).into_bytes();
        let (change, rejection) = decode_l7(Ok(message.encode_to_vec().into()), &sent.name());
        let Change::UnreadableL7(unreadable) = change else { panic!("{change:?}") };
        assert_eq!(unreadable.targets, sent.targets());
        assert!(unreadable.reason.contains("not_yet_known"), "{unreadable:?}");
        assert_eq!(rejection.map(|rejection| rejection.name), Some(sent.name()));
    }

    #[test]
    fn bytes_that_are_no_message_and_unknown_targets_are_everybodys() {
        let (change, _) = decode_l7(Ok(Bytes::from_static(b"\xff\xff\xff")), &"HTTPRoute/a/b".into());
        assert!(matches!(change, Change::UnreadableL7(unreadable) if unreadable.targets == [Target::Mesh]));
        let message = proto::Resource { targets: vec![proto::Target { of: None }], content: Vec::new() };
        let (change, _) = decode_l7(Ok(message.encode_to_vec().into()), &"HTTPRoute/a/b".into());
        assert!(matches!(change, Change::UnreadableL7(unreadable) if unreadable.targets == [Target::Mesh]));
    }
}
