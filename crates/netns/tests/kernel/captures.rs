//! What crosses a link is seen, whole, in both directions.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ambit_netns::capture::{Capture, CaptureError, Search, segment};

use crate::Test;
use crate::pair::{PATIENCE, PEER_V4, PEER_V6, Pair, accept, address, connect, listen};

pub(crate) const TESTS: &[Test] = &[
    ("a_marker_is_seen_on_the_link", a_marker_is_seen_on_the_link),
    ("a_task_can_wait_for_frames", a_task_can_wait_for_frames),
    ("a_missing_interface_is_named", a_missing_interface_is_named),
];

fn send(pair: &Pair, peer: &str, port: u16, bytes: &[u8]) {
    let server = listen(&pair.peer, peer, port);
    let mut client = connect(&pair.pod, address(peer, port));
    let (mut accepted, _) = accept(&server);
    client.write_all(bytes).unwrap();
    let mut read = vec![0; bytes.len()];
    accepted.read_exact(&mut read).unwrap();
    assert_eq!(read, bytes);
}

fn a_marker_is_seen_on_the_link() {
    let pair = Pair::new();
    for peer in [PEER_V4, PEER_V6] {
        let mut capture = Capture::open(&pair.pod, "eth0").unwrap();
        // Larger than any segment, with the marker at the end.
        let mut bytes = vec![b'.'; 300_000];
        bytes.extend_from_slice(b"the-marker");
        send(&pair, peer, 8080, &bytes);
        let (mut seen, mut absent) = (Search::new("the-marker"), Search::new("another-marker"));
        let (mut found, mut payload, mut other) = (false, 0, 0);
        while let Some(frame) = capture.next_queued().unwrap() {
            let Some(segment) = segment(frame) else { continue };
            found |= seen.found(&segment);
            assert!(!absent.found(&segment));
            if segment.has_port(8080) { payload += segment.payload.len() } else { other += 1 }
        }
        assert!(found, "the marker crossed the link and was not seen");
        assert!(payload >= bytes.len() && other == 0);
        let counters = capture.counters();
        assert_eq!(counters.lost, 0);
        assert!(counters.bytes > bytes.len() as u64 && counters.frames > 5);
    }
}

fn a_task_can_wait_for_frames() {
    let pair = Pair::new();
    let capture = Capture::open(&pair.peer, "eth0").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut capture = capture.into_async().unwrap();
        let watcher = async {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let look = |frame: &[u8]| segment(frame).is_some_and(|s| s.payload == b"waited for");
                match tokio::time::timeout(Duration::from_secs(5), capture.next(look)).await {
                    Ok(Ok(true)) => break,
                    _ => assert!(Instant::now() < deadline, "the frame did not come"),
                }
            }
            capture.counters()
        };
        let sender = tokio::task::spawn_blocking(move || send(&pair, PEER_V4, 8080, b"waited for"));
        let (counters, sent) = tokio::join!(watcher, sender);
        sent.unwrap();
        assert!(counters.frames >= 1 && counters.lost == 0);
    });
}

fn a_missing_interface_is_named() {
    let pair = Pair::new();
    let error = Capture::open(&pair.pod, "eth7").unwrap_err();
    assert!(matches!(error, CaptureError::Link(_)));
    assert!(error.to_string().contains("interface eth7 does not exist"), "{error}");
}
