//! The process log: formats, levels that change, a writer that never blocks.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "captured/lines.rs"]
mod captured;

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use ambit_telemetry::Registry;
use ambit_telemetry::log::{LogError, LogFormat, LogSettings, build};
use captured::Captured;
use proptest::prelude::*;
use serde_json::Value;
use tracing::{debug, error, info, info_span, trace, warn};

const PATIENCE: Duration = Duration::from_secs(10);

fn settings(format: LogFormat, directives: &str) -> LogSettings {
    LogSettings { format, directives: directives.into(), ..LogSettings::default() }
}

#[test]
fn plain_lines_are_ztunnels() {
    let lines = Captured::run(LogFormat::Plain, "info", || {
        let span = info_span!("xds", peer = "istiod");
        let _entered = span.enter();
        info!(target: "client", port = 15012, name = "a b", kind = ?Some(1), "connected");
        warn!(target: "client", "bare");
        debug!(target: "client", "not shown");
    });
    let rests: Vec<_> = lines.iter().map(|line| line.split_once('\t').unwrap().1).collect();
    assert_eq!(
        rests,
        [
            "info\tclient:xds{peer=\"istiod\"}\tconnected\tport=15012 name=\"a b\" kind=Some(1)",
            "warn\tclient:xds{peer=\"istiod\"}\tbare\t",
        ]
    );
}

#[test]
fn json_lines_are_ztunnels() {
    let lines = Captured::run(LogFormat::Json, "info", || {
        let span = info_span!("xds", peer = "istiod", stream = tracing::field::Empty);
        span.record("stream", 7);
        let _entered = span.enter();
        error!(target: "client", port = 15012, share = 0.5, bad = f64::NAN, ok = true, kind = ?Some("x"), "failed");
    });
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    let keys: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["level", "time", "scope", "message", "port", "share", "bad", "ok", "kind", "xds"]);
    assert_eq!((line["level"].as_str(), line["scope"].as_str()), (Some("error"), Some("client")));
    assert_eq!(
        (line["port"].as_u64(), line["share"].as_f64(), line["ok"].as_bool()),
        (Some(15012), Some(0.5), Some(true))
    );
    assert_eq!((line["bad"].as_str(), line["kind"].as_str()), (Some("NaN"), Some("Some(\"x\")")));
    assert_eq!((line["xds"]["peer"].as_str(), line["xds"]["stream"].as_u64()), (Some("istiod"), Some(7)));
}

#[test]
fn levels_change_while_running_and_return() {
    let output = Captured::default();
    let (subscriber, control, _guard) =
        build(&settings(LogFormat::Plain, "info,access=warn"), output.clone()).unwrap();
    let say = || {
        trace!(target: "proxy", "t");
        debug!(target: "proxy", "d");
        info!(target: "access", "a");
    };
    tracing::subscriber::with_default(subscriber, || {
        say();
        control.add("proxy=debug").unwrap();
        say();
        control.add("trace").unwrap();
        say();
        assert!(matches!(control.add("proxy=loud"), Err(LogError::Directives { .. })));
        for misspelt in ["debg", "warning", "info,ambit_ztunnel"] {
            assert!(
                matches!(control.add(misspelt), Err(LogError::Directives { .. })),
                "{misspelt} was taken"
            );
        }
        say();
        control.reset("access=info").unwrap();
        say();
        assert_eq!(control.reset("").unwrap(), control.current());
        say();
    });
    assert!(control.flush(PATIENCE));
    let words: Vec<_> =
        output.lines().iter().map(|line| line.split('\t').nth(3).unwrap().to_owned()).collect();
    // Nothing; then proxy=debug, twice as the general level does not reach it; then access=info.
    assert_eq!(words, ["d", "d", "d", "a"]);
    assert!(
        control.current().contains("access=warn") && !control.current().contains("proxy"),
        "{}",
        control.current()
    );
}

#[test]
fn wrong_settings_say_what_is_wrong() {
    let error = build(&settings(LogFormat::Plain, "access=verbose"), io::sink()).err().unwrap().to_string();
    assert!(error.starts_with("log level \"access=verbose\" is not LEVEL or TARGET=LEVEL"), "{error}");
    assert_eq!(error.lines().count(), 1);
    assert_eq!(
        "xml".parse::<LogFormat>().unwrap_err().to_string(),
        "log format \"xml\" is neither \"plain\" nor \"json\""
    );
}

/// A reader that takes nothing until it is let go.
struct Stuck {
    entered: mpsc::Sender<()>,
    go: mpsc::Receiver<()>,
    output: Captured,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        // Returns at once, with an error, when the test is over.
        let _ = self.go.recv();
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_reader_costs_lines_never_time() {
    let (entered, has_entered) = mpsc::channel();
    let (go, may_go) = mpsc::channel();
    let output = Captured::default();
    let stuck = Stuck { entered, go: may_go, output: output.clone() };
    let settings = LogSettings { buffer: 2000, ..settings(LogFormat::Plain, "info") };
    let (subscriber, control, _guard) = build(&settings, stuck).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        info!(target: "t", "first");
        has_entered.recv().unwrap();
        // The writing thread hangs. These return all the same, or this test does not.
        for number in 0..1000 {
            info!(target: "t", number, "more");
        }
    });
    assert!(!control.flush(Duration::from_millis(1)));
    let dropped = control.dropped_lines();
    assert!(dropped > 900, "{dropped}");
    let registry = Registry::new("t", "t");
    control.register(&registry);
    assert!(registry.encode("").1.contains(&format!("ambit_log_lines_dropped_total {dropped}\n")));
    drop(go);
    assert!(control.flush(PATIENCE));
    let lines = output.lines();
    assert_eq!(lines.len() as u64 + dropped, 1001);
    assert!(lines[0].ends_with("\tfirst\t"), "{}", lines[0]);
    assert!(lines[1].ends_with("\tmore\tnumber=0"), "{}", lines[1]);
}

/// A reader that passes on each batch as it comes.
struct Batches(mpsc::Sender<Vec<u8>>);

impl Write for Batches {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_gather_are_written_though_nobody_asks() {
    let (batches, written) = mpsc::channel();
    let (subscriber, _control, _guard) =
        build(&settings(LogFormat::Plain, "info"), Batches(batches)).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for round in 0..50 {
            // The first after a silence, or while the thread rests, or while it writes: as it happens.
            let lines = round % 4 + 1;
            for _ in 0..lines {
                info!("line");
            }
            let mut seen = 0;
            while seen < lines {
                let batch = written.recv_timeout(PATIENCE).expect("a line stays behind");
                assert!(batch.ends_with(b"\n"), "a line is cut");
                seen += batch.iter().filter(|byte| **byte == b'\n').count();
            }
            assert_eq!(seen, lines);
        }
    });
}

#[test]
fn the_guard_writes_what_waits() {
    let output = Captured::default();
    let (subscriber, control, guard) = build(&settings(LogFormat::Plain, "info"), output.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..500 {
            info!("line");
        }
        drop(guard);
        assert_eq!(output.lines().len(), 500);
        info!("too late");
    });
    assert_eq!((output.lines().len(), control.dropped_lines()), (500, 1));
}

#[test]
fn a_broken_reader_is_counted() {
    struct Broken;
    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (subscriber, control, _guard) = build(&settings(LogFormat::Plain, "info"), Broken).unwrap();
    tracing::subscriber::with_default(subscriber, || info!("lost"));
    assert!(control.flush(PATIENCE));
    assert_eq!(control.dropped_lines(), 1);
}

proptest! {
    /// Whatever a message or a value holds, in whichever way it is recorded, it is one line without a character that a
    /// terminal obeys; and JSON gives the text back.
    #[test]
    fn a24_any_text_stays_on_its_line(text in any::<String>(), active in "[\u{0}-\u{1f}\u{7f}-\u{9f}\u{2028}\u{202e}\"\\\\]{0,6}") {
        let text = format!("{text}{active}");
        for format in [LogFormat::Plain, LogFormat::Json] {
            let lines = Captured::run(format, "info", || {
                info!(target: "t", quoted = text.as_str(), shown = %text, debugged = ?text, "{text}");
            });
            prop_assert_eq!(lines.len(), 1);
            let obeyed = |c: char| (c.is_control() && c != '\t') || "\u{2028}\u{202e}".contains(c);
            prop_assert!(!lines[0].chars().any(obeyed), "{:?}", lines[0]);
            match format {
                LogFormat::Plain => prop_assert_eq!(lines[0].matches('\t').count(), 4),
                LogFormat::Json => {
                    let line: Value = serde_json::from_str(&lines[0]).unwrap();
                    for key in ["quoted", "shown", "message"] {
                        prop_assert_eq!(line[key].as_str(), Some(&*text));
                    }
                }
            }
        }
    }
}
