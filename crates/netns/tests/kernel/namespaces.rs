//! Namespaces: opened only when they are ones, entered and left, named and forgotten.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;

use ambit_netns::links::Links;
use ambit_netns::{Namespace, OpenError, PersistError, SpawnError, unpersist};

use crate::Test;

pub(crate) const TESTS: &[Test] = &[
    ("run_returns_also_after_a_panic", run_returns_also_after_a_panic),
    ("runs_nest", runs_nest),
    ("only_network_namespaces_are_opened", only_network_namespaces_are_opened),
    ("a27_a_descriptor_that_is_no_namespace_is_refused", a27_a_descriptor_that_is_no_namespace_is_refused),
    ("a28_a_cookie_is_never_given_out_twice", a28_a_cookie_is_never_given_out_twice),
    ("a_name_is_given_and_taken", a_name_is_given_and_taken),
    ("commands_start_inside", commands_start_inside),
    ("tokio_commands_start_inside", tokio_commands_start_inside),
    ("a_new_namespace_has_loopback_up", a_new_namespace_has_loopback_up),
];

fn run_returns_also_after_a_panic() {
    let own = Namespace::current().unwrap();
    let other = Namespace::create().unwrap();
    assert_ne!(own, other);
    assert_eq!(other.run(|| Namespace::current().unwrap()).unwrap(), other);
    assert_eq!(Namespace::current().unwrap(), own);
    let panicked =
        catch_unwind(AssertUnwindSafe(|| other.run(|| std::panic::resume_unwind(Box::new("inside")))));
    let _: Box<dyn std::any::Any + Send> = panicked.map(|entered| entered.unwrap()).unwrap_err();
    assert_eq!(Namespace::current().unwrap(), own);
}

fn runs_nest() {
    let (one, two) = (Namespace::create().unwrap(), Namespace::create().unwrap());
    let seen = one.run(|| {
        let inner = two.run(|| Namespace::current().unwrap().id()).unwrap();
        let again = one.run(|| Namespace::current().unwrap().id()).unwrap();
        (inner, again, Namespace::current().unwrap().id())
    });
    assert_eq!(seen.unwrap(), (two.id(), one.id(), one.id()));
}

fn only_network_namespaces_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    File::create(&plain).unwrap();
    let pipe = directory.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for path in
        [plain.as_path(), pipe.as_path(), "/dev/null".as_ref(), "/proc/self/status".as_ref(), "/".as_ref()]
    {
        let error = Namespace::open(path).unwrap_err();
        assert!(matches!(error, OpenError::NotNamespace(_)), "{}: {error:?}", path.display());
        assert!(error.to_string().starts_with(&path.display().to_string()));
    }
    let error = Namespace::open("/proc/self/ns/user").unwrap_err();
    assert!(matches!(error, OpenError::WrongKind { kind: "user", .. }), "{error:?}");
    let error = Namespace::open(directory.path().join("absent")).unwrap_err();
    assert!(
        matches!(error, OpenError::Missing(_)) && error.to_string().contains("ip netns add"),
        "{error:?}"
    );
    let error = Namespace::open(plain.join("below")).unwrap_err();
    assert!(matches!(error, OpenError::Missing(_)), "{error:?}");
}

fn a27_a_descriptor_that_is_no_namespace_is_refused() {
    let file = OwnedFd::from(File::open("/proc/self/status").unwrap());
    assert!(matches!(Namespace::from_fd(file), Err(OpenError::NotNamespace(_))));
    let mounts = OwnedFd::from(File::open("/proc/self/ns/mnt").unwrap());
    assert!(matches!(Namespace::from_fd(mounts), Err(OpenError::WrongKind { kind: "mnt", .. })));
    let good = OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap());
    assert_eq!(Namespace::from_fd(good).unwrap(), Namespace::current().unwrap());
}

/// Inodes are given out again, cookies are not; while a handle lives its id is its own.
fn a28_a_cookie_is_never_given_out_twice() {
    let kept = Namespace::create().unwrap();
    let mut cookies = HashSet::from([kept.cookie().unwrap()]);
    for _ in 0..200 {
        let next = Namespace::create().unwrap();
        assert_ne!(next.id(), kept.id());
        assert!(cookies.insert(next.cookie().unwrap()), "a cookie came back");
    }
}

fn a_name_is_given_and_taken() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("below/pod");
    let namespace = Namespace::create().unwrap();
    namespace.persist(&path).unwrap();
    let cookie = namespace.cookie().unwrap();
    drop(namespace);
    // The mount keeps it.
    let found = Namespace::open(&path).unwrap();
    assert_eq!(found.cookie(), Some(cookie));
    let error = found.persist(&path).unwrap_err();
    assert!(matches!(error, PersistError::Exists(_)), "{error:?}");
    unpersist(&path).unwrap();
    assert!(!path.exists());
    let plain = directory.path().join("plain");
    std::fs::write(&plain, "kept").unwrap();
    assert!(matches!(unpersist(&plain), Err(PersistError::NotMounted(_))));
    assert_eq!(std::fs::read_to_string(&plain).unwrap(), "kept");
}

fn commands_start_inside() {
    let namespace = Namespace::create().unwrap();
    let mut command = Command::new("readlink");
    command.arg("/proc/self/ns/net").stdout(std::process::Stdio::piped());
    let output = namespace.spawn(&mut command).unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), namespace.id().to_string());
    let error = namespace.spawn(&mut Command::new("no-such-program")).unwrap_err();
    assert!(matches!(error, SpawnError::Start { .. }));
    assert!(error.to_string().starts_with("no-such-program cannot be started"), "{error}");
}

fn tokio_commands_start_inside() {
    let namespace = Namespace::create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(async {
        let mut command = tokio::process::Command::new("readlink");
        command.arg("/proc/self/ns/net").stdout(std::process::Stdio::piped());
        let child = namespace.run(|| command.spawn()).unwrap().unwrap();
        child.wait_with_output().await.unwrap()
    });
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), namespace.id().to_string());
}

fn a_new_namespace_has_loopback_up() {
    let links = Links::open(&Namespace::create().unwrap()).unwrap().list().unwrap();
    assert!(links.iter().any(|link| link.name == "lo" && link.up));
}
