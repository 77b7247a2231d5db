//! The store by hand.

use super::*;

fn resource(name: &str, content: &str) -> Resource {
    Resource::new(Kind::Address, name.into(), content.as_bytes().to_vec())
}

fn log(store: &Store, after: u64) -> Vec<(String, bool)> {
    let table = store.read(Kind::Address);
    table.after(after).map(|(_, name, resource)| (name.to_string(), resource.is_some())).collect()
}

#[test]
fn versions_are_hashes_of_the_content() {
    let (one, two) = (resource("a", "x"), resource("b", "x"));
    assert_eq!(one.version(), two.version());
    assert_ne!(one.version(), resource("a", "y").version());
    // The beginning of SHA-256("x"): a version must mean the same in the next release.
    assert_eq!(one.version(), "2d711642b726b044");
    assert!(one.has_version(&one.version()) && !one.has_version("") && !one.has_version("rejected"));
}

#[test]
fn only_what_differs_is_a_change_and_the_rest_keeps_its_bytes() {
    let store = Store::default();
    store.publish(Kind::Address, [resource("a", "1"), resource("b", "1"), resource("c", "1")]);
    let kept = store.resource(Kind::Address, "a").unwrap().encoded().as_ptr();
    let changes = store.changes();
    let at = store.read(Kind::Address).last();
    let (_cursor, ()) = store.follow(Kind::Address, |_| ());
    store.publish(Kind::Address, [resource("a", "1"), resource("b", "2")]);
    assert!(changes.has_changed().unwrap());
    assert_eq!(log(&store, at), [("b".into(), true), ("c".into(), false)]);
    assert_eq!(store.resource(Kind::Address, "a").unwrap().encoded().as_ptr(), kept);
    assert_eq!(store.count(Kind::Address), 2);

    let changes = store.changes();
    store.publish(Kind::Address, [resource("b", "2"), resource("a", "1")]);
    store.update(Kind::Address, [resource("a", "1")], ["zzz".into()]);
    assert!(!changes.has_changed().unwrap(), "nothing changed");
}

#[test]
fn a_name_is_in_the_log_once() {
    let store = Store::default();
    for content in ["1", "2", "3"] {
        store.update(Kind::Address, [resource("a", content), resource("b", "1")], []);
    }
    assert_eq!(log(&store, 0), [("b".into(), true), ("a".into(), true)]);
    store.update(Kind::Address, [resource("a", "4")], ["a".into(), "b".into()]);
    assert_eq!(log(&store, 0), [("a".into(), true)], "nobody needs to hear of b");
}

#[test]
fn removals_stay_until_everybody_passed_them() {
    let store = Store::default();
    store.publish(Kind::Address, [resource("a", "1"), resource("b", "1")]);
    let (slow, ()) = store.follow(Kind::Address, |_| ());
    let (gone, ()) = store.follow(Kind::Address, |_| ());
    store.publish(Kind::Address, [resource("b", "1")]);
    drop(gone);
    store.update(Kind::Address, [resource("b", "2")], []);
    assert_eq!(log(&store, 0), [("a".into(), false), ("b".into(), true)]);
    slow.advance(store.read(Kind::Address).last());
    store.update(Kind::Address, [resource("b", "3")], []);
    assert_eq!(log(&store, 0), [("b".into(), true)]);
    assert_eq!(store.read(Kind::Address).forgotten(), 3);
}

#[test]
fn a_client_that_never_reads_does_not_fill_the_store() {
    let store = Store::default();
    let (_stuck, ()) = store.follow(Kind::Address, |_| ());
    let names: Vec<Resource> = (0..KEPT_REMOVALS + 5).map(|at| resource(&at.to_string(), "1")).collect();
    store.publish(Kind::Address, names);
    store.publish(Kind::Address, []);
    assert_eq!(log(&store, 0).len(), KEPT_REMOVALS);
    assert!(store.read(Kind::Address).forgotten() > 0);
}
