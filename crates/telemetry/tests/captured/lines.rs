//! Runs code with a log of its own and returns the lines that it wrote.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ambit_telemetry::log::{LogFormat, LogSettings, build};

/// An output that keeps what is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Captured {
    /// The lines so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Runs `body` on this thread with a log of `format` and `directives`.
    pub(crate) fn run(format: LogFormat, directives: &str, body: impl FnOnce()) -> Vec<String> {
        let output = Self::default();
        let settings = LogSettings { format, directives: directives.into(), ..LogSettings::default() };
        let (subscriber, control, _guard) = build(&settings, output.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, body);
        assert!(control.flush(Duration::from_secs(10)));
        output.lines()
    }
}
