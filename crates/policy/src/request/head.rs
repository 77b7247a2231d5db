//! The head of a request on its way to a backend: what filters change, while the request stays as it was judged.

use http::HeaderMap;

use super::authority::Authority;
use super::canonical::Request;
use super::edit::HeaderEdits;
use super::rewrite::PathChange;

/// Host, path, query and headers as a backend will see them. One is made for each try.
#[derive(Debug, Clone)]
pub struct Head {
    /// Host and port.
    pub authority: Authority,
    /// Path.
    pub path: String,
    /// Query, without `?`, byte for byte as the client sent it.
    pub query: Option<String>,
    /// Headers, without `host`.
    pub headers: HeaderMap,
    taken: usize,
}

impl Head {
    /// The head of a request, of whose path the rule's match took `taken` bytes.
    pub fn new(request: &Request, taken: usize) -> Self {
        Self {
            authority: request.authority().clone(),
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            headers: request.headers.clone(),
            taken,
        }
    }

    /// Path and query, as they stand in a request's line.
    pub fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// Changes headers, and the host with them.
    pub fn edit(&mut self, edits: &HeaderEdits) {
        edits.apply(&mut self.headers);
        if let Some(host) = edits.host() {
            self.authority = host.clone();
        }
    }

    /// Changes the path.
    pub fn change_path(&mut self, change: &PathChange) {
        let changed = change.apply(&self.path, self.taken);
        self.path = changed.path;
        self.query = changed.query.or_else(|| self.query.take());
        self.taken = 0;
    }
}
