//! The drain: modes only become more urgent, parts follow the whole, and it is finished when the last has gone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::pin::pin;
use std::task::{Context, Waker};

use ambit_transport::drain::{Mode, channel};

/// Whether one poll leaves the future pending.
fn pending_now(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[tokio::test]
async fn every_clone_hears_it_and_holds_it_up() {
    let (drain, watch) = channel();
    let other = watch.clone();
    assert!(pending_now(watch.signaled()) && watch.mode().is_none());
    let waiting = tokio::spawn({
        let watch = watch.clone();
        async move { watch.signaled().await }
    });
    tokio::task::yield_now().await;
    drain.drain(Mode::Graceful);
    assert_eq!(waiting.await.unwrap(), Mode::Graceful);
    assert_eq!(other.signaled().await, Mode::Graceful);
    drop(watch);
    assert!(pending_now(drain.finished()));
    drop(other);
    drain.finished().await;
}

#[tokio::test]
async fn a_drain_only_becomes_more_urgent() {
    let (drain, watch) = channel();
    drain.drain(Mode::Graceful);
    assert!(pending_now(watch.immediate()));
    drain.drain(Mode::Immediate);
    watch.immediate().await;
    drain.drain(Mode::Graceful);
    assert_eq!(watch.signaled().await, Mode::Immediate);
}

#[tokio::test]
async fn parts_follow_the_whole_and_not_each_other() {
    let (process, root) = channel();
    let (first, pod) = root.nested();
    let (_second, other) = root.nested();
    first.drain(Mode::Immediate);
    assert_eq!(pod.signaled().await, Mode::Immediate);
    assert!(pending_now(other.signaled()) && pending_now(root.signaled()));

    process.drain(Mode::Graceful);
    assert_eq!(other.mode(), Some(Mode::Graceful));
    assert_eq!(other.signaled().await, Mode::Graceful);
    assert_eq!(root.signaled().await, Mode::Graceful);
    assert_eq!(pod.signaled().await, Mode::Immediate, "no less urgent than before");

    drop((root, pod));
    assert!(pending_now(process.finished()), "a part still runs");
    first.finished().await;
    drop(other);
    process.finished().await;
}

#[tokio::test]
async fn a_part_made_during_a_drain_drains_too() {
    let (process, root) = channel();
    process.drain(Mode::Graceful);
    let (_part, watch) = root.nested();
    assert_eq!(watch.signaled().await, Mode::Graceful);
    let (_deeper, deeper) = watch.nested();
    process.drain(Mode::Immediate);
    assert_eq!(deeper.mode(), Some(Mode::Immediate));
    deeper.immediate().await;
}

#[tokio::test]
async fn a_dropped_drain_ends_everything() {
    let (drain, watch) = channel();
    drop(drain);
    assert_eq!(watch.signaled().await, Mode::Immediate);
}
