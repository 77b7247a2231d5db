//! A22: no core dumps and no memory reads; and as many open files as allowed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use ambit_app::limits::{raise_open_files, seal_memory};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use rustix::process::{DumpableBehavior, dumpable_behavior};

#[test]
fn open_files_are_raised_to_the_hard_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, 100.min(hard), hard).unwrap();
    assert_eq!(raise_open_files().unwrap(), hard);
    assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    assert_eq!(raise_open_files().unwrap(), hard, "a second time changes nothing");
}

#[test]
fn a22_memory_is_sealed() {
    seal_memory().unwrap();
    assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
}
