//! Workers: named threads that run what they are given, stop when told, and report a panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambit_app::runtime::{Workers, control};
use tokio::sync::mpsc;

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn each_worker_runs_its_body_and_what_is_spawned_on_it() {
    control(async {
        let (started, mut starting) = mpsc::unbounded_channel();
        let workers = Workers::start(3, "worker", move |index| {
            let started = started.clone();
            async move {
                let thread = std::thread::current().name().unwrap().to_owned();
                started.send((index, thread)).unwrap();
            }
        })
        .unwrap();
        assert_eq!(workers.count(), 3);
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(starting.recv().await.unwrap());
        }
        seen.sort();
        let named = |index: usize| (index, format!("worker-{index}"));
        assert_eq!(seen, [named(0), named(1), named(2)]);

        // The bodies have returned; the workers go on.
        for index in 0..6 {
            let running = workers.spawn_on(index, async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                std::thread::current().name().unwrap().to_owned()
            });
            let thread = running.unwrap().await.unwrap().unwrap();
            assert_eq!(thread, format!("worker-{}", index % 3));
        }
        workers.stop().await.unwrap();
    })
    .unwrap();
}

#[test]
fn stopping_drops_what_still_runs() {
    control(async {
        let dropped = Arc::new(AtomicUsize::new(0));
        let held = Arc::clone(&dropped);
        let workers = Workers::start(2, "worker", move |_| {
            let body = Counted(Arc::clone(&held));
            let task = Counted(Arc::clone(&held));
            async move {
                tokio::spawn(async move {
                    let _task = task;
                    std::future::pending::<()>().await;
                });
                let _body = body;
                std::future::pending::<()>().await;
            }
        })
        .unwrap();
        // A worker that is stopped before its body was made has nothing to drop.
        for worker in 0..2 {
            let running = workers.spawn_on(worker, async {}).unwrap();
            assert_eq!(running.await.unwrap(), Some(()));
        }
        workers.stop().await.unwrap();
        assert_eq!(dropped.load(Ordering::SeqCst), 4);
    })
    .unwrap();
}

#[test]
fn a_panic_of_a_body_is_reported() {
    control(async {
        let workers = Workers::start(2, "worker", |index| async move {
            assert!(index != 1, "out of luck");
            std::future::pending::<()>().await;
        })
        .unwrap();
        let failed = workers.failed().await;
        assert_eq!((failed.name.as_str(), failed.message.as_str()), ("worker-1", "out of luck"));
        assert!(failed.to_string().starts_with("worker worker-1 panicked: out of luck;"));
        assert_eq!(workers.stop().await, Err(failed));
    })
    .unwrap();
}

#[test]
fn a_panic_of_spawned_work_is_reported() {
    control(async {
        let workers = Workers::start(1, "worker", |_| async {}).unwrap();
        let work = workers.spawn_on(0, async { panic!("number {}", 7) }).unwrap();
        assert_eq!(work.await.unwrap(), None::<()>);
        assert_eq!(workers.failed().await.message, "number 7");
    })
    .unwrap();
}

#[test]
fn no_workers_take_no_work() {
    let workers = Workers::start(0, "worker", |_| async {}).unwrap();
    assert!(workers.spawn_on(0, async {}).is_none() && workers.handle(5).is_none());
}
