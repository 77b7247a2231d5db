//! Which path does what. Reading is GET; whatever changes something is POST and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::header::ACCEPT;
use http::request::Parts;
use http::{Method, StatusCode};

use super::answer::Answer;
use super::query::Query;

/// A request as a route sees it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// What follows the `?`.
    pub query: Query,
    /// The `Accept` header, empty without.
    pub accept: String,
    /// The body, at most 64 KiB.
    pub body: Bytes,
}

type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;
type Action = Box<dyn Fn(Asked) -> Answering + Send + Sync>;

#[derive(Default)]
struct Route {
    about: &'static str,
    get: Option<Action>,
    post: Option<Action>,
}

/// The table of paths.
#[derive(Default)]
pub struct Routes {
    routes: BTreeMap<&'static str, Route>,
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.routes.keys()).finish()
    }
}

impl Routes {
    /// No path at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers GET on `path`; `about` is its line in the list of paths.
    #[must_use]
    pub fn get<A, F>(mut self, path: &'static str, about: &'static str, action: A) -> Self
    where
        A: Fn(Asked) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let route = self.routes.entry(path).or_default();
        route.about = about;
        route.get = Some(Box::new(move |asked| Box::pin(action(asked))));
        self
    }

    /// Answers POST on `path`; `about` is its line in the list of paths.
    #[must_use]
    pub fn post<A, F>(mut self, path: &'static str, about: &'static str, action: A) -> Self
    where
        A: Fn(Asked) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let route = self.routes.entry(path).or_default();
        route.about = about;
        route.post = Some(Box::new(move |asked| Box::pin(action(asked))));
        self
    }

    /// The list of paths, one a line.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        for (path, route) in &self.routes {
            let _ = writeln!(text, "{:<8} {path:<24} {}", route.methods(), route.about);
        }
        text
    }

    pub(super) async fn answer(&self, head: &Parts, body: Bytes) -> Answer {
        let path = head.uri.path();
        let Some(route) = self.routes.get(path) else {
            if path == "/" && head.method == Method::GET {
                return Answer::text(self.listing());
            }
            return Answer::error(
                StatusCode::NOT_FOUND,
                format!("nothing at {path:?}; known are\n{}", self.listing()),
            );
        };
        let action = match head.method {
            Method::GET | Method::HEAD => &route.get,
            Method::POST => &route.post,
            _ => &None,
        };
        let Some(action) = action else {
            return Answer::error(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{path} takes {}, not {}", route.methods(), head.method),
            );
        };
        let accept = head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept = accept.collect::<Vec<_>>().join(",");
        let query = Query::parse(head.uri.query().unwrap_or(""));
        action(Asked { query, accept, body }).await
    }
}

impl Route {
    fn methods(&self) -> &'static str {
        match (&self.get, &self.post) {
            (Some(_), Some(_)) => "GET,POST",
            (None, Some(_)) => "POST",
            _ => "GET",
        }
    }
}
