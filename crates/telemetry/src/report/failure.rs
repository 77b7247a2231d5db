//! Why a connection ended badly: a flag for the metrics, one line for the log, and how loud.

use std::borrow::Cow;
use std::fmt;

use crate::flags::ResponseFlag;

/// How loud a failure is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// As Istio does: ERROR for a connection that was open, WARN for one that never was.
    #[default]
    Usual,
    /// WARN.
    Warning,
    /// INFO: nobody's fault, such as a client that went away.
    Information,
    /// DEBUG: expected many times, such as a port scan.
    Debug,
}

/// A connection's bad end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    flag: ResponseFlag,
    text: Cow<'static, str>,
    pub(super) severity: Severity,
}

impl Failure {
    /// A failure with its flag and one line that names the thing and the remedy.
    pub fn new(flag: ResponseFlag, reason: impl fmt::Display) -> Self {
        Self { flag, text: Cow::Owned(reason.to_string()), severity: Severity::Usual }
    }

    /// [`new`](Self::new) for a policy's refusal.
    pub fn denied(reason: impl fmt::Display) -> Self {
        Self::new(ResponseFlag::Deny, format_args!("connection closed due to policy rejection: {reason}"))
    }

    /// [`new`](Self::new) for a next hop that could not be reached or was lost.
    pub fn connect(reason: impl fmt::Display) -> Self {
        Self::new(ResponseFlag::Connect, reason)
    }

    /// The process or the pod is leaving and its time is up. Nobody failed, so it is closed without a flag.
    pub fn drained() -> Self {
        Self {
            flag: ResponseFlag::None,
            text: Cow::Borrowed("connection closed due to connection drain"),
            severity: Severity::Usual,
        }
    }

    /// The same, logged as loud as `severity`.
    pub fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// What the metrics say.
    pub fn flag(&self) -> ResponseFlag {
        self.flag
    }

    /// What the log says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
