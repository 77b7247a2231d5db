use ambit_app::Environment;
use ambit_model::l7::policy::{PolicyAction, PolicyRule, RequestPolicy};
use ambit_model::l7::{Labels, ObjectKey, ObjectKind, Resource, Target, Unreadable};

use super::*;
use crate::settings::settings;

fn key(name: &str) -> ServiceKey {
    ServiceKey::new("shop", &format!("{name}.shop.svc.cluster.local"))
}

fn empty() -> (RulesWriter, Rules) {
    let variables =
        [("POD_NAME", "w"), ("POD_NAMESPACE", "shop"), ("SERVICE_ACCOUNT", "w"), ("GATEWAY_NAME", "w")];
    rules(&settings(Environment::from_map(variables)).unwrap())
}

fn deny(name: &str, target: Target) -> Change {
    let policy = RequestPolicy {
        key: ObjectKey::new(ObjectKind::AuthorizationPolicy, "shop", name),
        action: PolicyAction::Deny,
        dry_run: false,
        targets: vec![target],
        rules: vec![PolicyRule::default()],
        unusable: None,
    };
    Change::L7(Resource::Policy(policy).into())
}

#[test]
fn an_edit_compiles_the_services_that_it_targets_and_no_others() {
    let (writer, rules) = empty();
    writer.apply(&[deny("a", Target::Service(key("a"))), deny("b", Target::Service(key("b")))]);
    let (a, b, other) =
        (rules.of_service(&key("a")), rules.of_service(&key("b")), rules.of_service(&key("c")));
    assert!(!a.policies.is_empty() && !b.policies.is_empty() && other.policies.is_empty());
    writer.apply(&[deny("a", Target::Service(key("a")))]);
    assert!(!Arc::ptr_eq(&a, &rules.of_service(&key("a"))));
    assert!(Arc::ptr_eq(&b, &rules.of_service(&key("b"))));
    // A target that an object had and lost is reached too.
    writer.apply(&[deny("b", Target::Service(key("c")))]);
    assert!(rules.of_service(&key("b")).policies.is_empty());
    assert!(!rules.of_service(&key("c")).policies.is_empty());
    writer.apply(&[Change::RemoveL7("AuthorizationPolicy/shop/b".into())]);
    assert!(rules.of_service(&key("c")).policies.is_empty());
}

#[test]
fn wide_targets_reach_whatever_is_in_them() {
    let applies = |target: Target| {
        let (writer, rules) = empty();
        writer.apply(&[deny("p", target), deny("q", Target::Service(key("other")))]);
        let elsewhere = ServiceKey::new("bank", "vault.bank.svc.cluster.local");
        let is = |rules: Arc<ServiceRules>| !rules.policies.is_empty();
        (is(rules.of_service(&key("a"))), is(rules.of_service(&elsewhere)), is(rules.of_workloads()))
    };
    let gateway = |name: &str| Target::Gateway { namespace: "shop".into(), name: name.into() };
    assert_eq!(applies(gateway("w")), (true, true, true));
    assert_eq!(applies(gateway("another")), (false, false, false));
    assert_eq!(applies(Target::GatewayClass("ambit-waypoint".into())), (true, true, true));
    assert_eq!(applies(Target::Namespace("shop".into())), (true, false, true));
    assert_eq!(applies(Target::Namespace("bank".into())), (false, true, false));
    assert_eq!(applies(Target::Mesh), (true, true, true));
}

#[test]
fn what_cannot_be_read_fails_closed_until_it_can() {
    let (writer, rules) = empty();
    let unreadable = Unreadable {
        name: "AuthorizationPolicy/shop/p".into(),
        targets: vec![Target::Service(key("a"))],
        reason: "a field of tomorrow".into(),
    };
    writer.apply(&[deny("p", Target::Service(key("a"))), Change::UnreadableL7(unreadable.into())]);
    assert!(!rules.of_service(&key("a")).policies.is_empty());
    writer.apply(&[Change::RemoveL7("AuthorizationPolicy/shop/p".into())]);
    assert!(rules.of_service(&key("a")).policies.is_empty());
}

#[test]
fn labels_come_and_go_by_workload() {
    let (writer, rules) = empty();
    let uid: Text = "c//Pod/shop/a".into();
    let labels = vec![("app".into(), "a".into())];
    let labels = Labels { workload: uid.clone(), labels };
    writer.apply(&[Change::L7(Resource::Labels(labels).into())]);
    assert_eq!(rules.labels(&uid).unwrap().len(), 1);
    writer.apply(&[Change::RemoveL7("Labels/c//Pod/shop/a".into())]);
    assert!(rules.labels(&uid).is_none());
}
