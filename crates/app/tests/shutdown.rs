//! Signals and the drain that follows. One test: signals are the whole process's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ambit_app::shutdown::{Cause, Drained, Shutdown};
use ambit_transport::drain::{Mode, channel};
use nix::sys::signal::{Signal, raise};

#[tokio::test(start_paused = true)]
async fn the_end_comes_gracefully_by_deadline_or_hurried() {
    let mut shutdown = Shutdown::install().unwrap();

    raise(Signal::SIGTERM).unwrap();
    assert_eq!(shutdown.requested().await, Cause::Terminate);
    raise(Signal::SIGINT).unwrap();
    assert_eq!(shutdown.requested().await, Cause::Interrupt);
    shutdown.trigger().shut_down("asked");
    assert_eq!(shutdown.requested().await, Cause::Asked("asked".to_owned()));

    // Work that ends when asked gracefully.
    let (drain, watch) = channel();
    tokio::spawn(async move {
        let mode = watch.signaled().await;
        assert_eq!(mode, Mode::Graceful);
    });
    assert_eq!(shutdown.drain(&drain, Duration::from_secs(25)).await, Drained::Gracefully);

    // Work that ends only when cut.
    let stubborn = || {
        let (drain, watch) = channel();
        tokio::spawn(async move { watch.immediate().await });
        drain
    };
    let begun = tokio::time::Instant::now();
    let drain = stubborn();
    assert_eq!(shutdown.drain(&drain, Duration::from_secs(25)).await, Drained::Deadline);
    assert_eq!(begun.elapsed().as_secs(), 25);

    // Asked for a second time.
    let begun = tokio::time::Instant::now();
    let drain = stubborn();
    shutdown.trigger().shut_down("again");
    let hurried = Drained::Hurried(Cause::Asked("again".to_owned()));
    assert_eq!(shutdown.drain(&drain, Duration::from_secs(25)).await, hurried);
    assert_eq!(begun.elapsed().as_secs(), 0);

    // Work that never ends does not keep the process.
    let (drain, _watch) = channel();
    let begun = tokio::time::Instant::now();
    assert_eq!(shutdown.drain(&drain, Duration::from_secs(25)).await, Drained::Deadline);
    assert_eq!(begun.elapsed().as_secs(), 30);
}
