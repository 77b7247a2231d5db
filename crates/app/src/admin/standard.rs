//! The routes that every process serves, with the paths and answers of Istio's ztunnel.

use std::future::Future;
use std::sync::Arc;

use http::StatusCode;

use super::answer::Answer;
use super::document::Document;
use super::routes::{Asked, Routes};
use crate::readiness::Readiness;
use crate::shutdown::Trigger;

/// The form of the metrics that the scraper asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsFormat {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl MetricsFormat {
    /// OpenMetrics when the `Accept` header names it, as Prometheus does when it can read it.
    pub fn negotiated(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Text }
    }

    /// The `Content-Type` of an answer in this form.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What `/logging` is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogChange {
    /// Nothing: say what is in force.
    Show,
    /// `?level=...`: this level, or these levels by target.
    Level(String),
    /// `?reset`: as the process was started.
    Reset,
}

impl Routes {
    /// 200 `ready` or 500 with what is pending, on `path` (`/healthz/ready`).
    #[must_use]
    pub fn readiness(self, path: &'static str, readiness: Readiness) -> Self {
        self.get(path, "200 when ready, else 500 with what is pending", move |_| {
            let pending = readiness.pending();
            async move {
                if pending.is_empty() {
                    Answer::text("ready")
                } else {
                    let pending = format!("not ready, pending: {}", pending.join(", "));
                    Answer::error(StatusCode::INTERNAL_SERVER_ERROR, pending)
                }
            }
        })
    }

    /// `/metrics` and `/stats/prometheus`; `encode` writes the metrics in the form asked for.
    #[must_use]
    pub fn metrics<E, F>(self, encode: E) -> Self
    where
        E: Fn(MetricsFormat) -> F + Send + Sync + 'static,
        F: Future<Output = String> + Send + 'static,
    {
        let encode = Arc::new(encode);
        let mut routes = self;
        for path in ["/metrics", "/stats/prometheus"] {
            let encode = Arc::clone(&encode);
            routes = routes.get(path, "metrics for Prometheus", move |asked: Asked| {
                let format = MetricsFormat::negotiated(&asked.accept);
                let text = encode(format);
                async move {
                    let content_type = format.content_type();
                    Answer { status: StatusCode::OK, content_type, body: text.await.into() }
                }
            });
        }
        routes
    }

    /// `/config_dump`; `dump` makes the JSON, which is sent as it is made.
    #[must_use]
    pub fn config_dump<D, F>(self, dump: D) -> Self
    where
        D: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Document> + Send + 'static,
    {
        self.get("/config_dump", "the whole configuration in force, as JSON", move |_| {
            let document = dump();
            async move { Answer::document(document.await) }
        })
    }

    /// `/logging`: GET shows the levels, POST with `?level=` or `?reset` changes them. `apply` returns the levels then
    /// in force, or why the change is not acceptable.
    #[must_use]
    pub fn logging<A>(self, apply: A) -> Self
    where
        A: Fn(LogChange) -> Result<String, String> + Send + Sync + 'static,
    {
        let apply = Arc::new(apply);
        let show = Arc::clone(&apply);
        let about = "log levels; POST ?level=LEVEL|TARGET:LEVEL,... or ?reset";
        self.get("/logging", about, move |_| {
            let shown = show(LogChange::Show);
            async move { levels(shown) }
        })
        .post("/logging", about, move |asked: Asked| {
            let changed = change(&asked).and_then(|change| apply(change));
            async move { levels(changed) }
        })
    }

    /// `POST /quitquitquit`: begins the shutdown.
    #[must_use]
    pub fn quit(self, trigger: Trigger) -> Self {
        self.post("/quitquitquit", "shut down gracefully", move |_| {
            trigger.shut_down("asked for by POST /quitquitquit");
            async { Answer::text("shutting down") }
        })
    }
}

fn change(asked: &Asked) -> Result<LogChange, String> {
    if let Some(unknown) = asked.query.names().find(|name| !["level", "reset"].contains(name)) {
        return Err(format!("no parameter {unknown:?}; there are level and reset"));
    }
    match (asked.query.value("level"), asked.query.has("reset")) {
        (Some(level), false) if !level.is_empty() => Ok(LogChange::Level(level.to_owned())),
        (Some(_), false) => Err("level is empty; give a level such as info or hbone:debug".to_owned()),
        (None, true) => Ok(LogChange::Reset),
        (None, false) => Ok(LogChange::Show),
        (Some(_), true) => Err("level and reset exclude each other".to_owned()),
    }
}

fn levels(outcome: Result<String, String>) -> Answer {
    match outcome {
        Ok(levels) => Answer::text(levels),
        Err(why) => Answer::error(StatusCode::BAD_REQUEST, why),
    }
}
