//! What does a path become? (Gateway API HTTPPathModifier, Istio HTTPRewrite)

use ambit_model::Text;
use ambit_model::l7::route::PathRewrite;

use super::expression::{Expression, InvalidExpression, Patterns};

/// A change of the path, ready for use.
#[derive(Debug, Clone)]
pub struct PathChange(Change);

#[derive(Debug, Clone)]
enum Change {
    Full(Text),
    Elements(Text),
    Letters(Text),
    Expression(Expression, Text),
}

/// A path, and a query where the change names one in place of the request's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The path; never empty.
    pub path: String,
    /// The query that the change names.
    pub query: Option<String>,
}

impl PathChange {
    /// Reads a change.
    ///
    /// # Errors
    /// The expression is invalid.
    pub fn compile(rewrite: &PathRewrite, patterns: &mut Patterns) -> Result<Self, InvalidExpression> {
        Ok(Self(match rewrite {
            PathRewrite::Full(path) => Change::Full(path.clone()),
            PathRewrite::Elements(prefix) => Change::Elements(prefix.trim_end_matches('/').into()),
            PathRewrite::Prefix(prefix) => Change::Letters(prefix.clone()),
            PathRewrite::Regex { pattern, replacement } => {
                Change::Expression(patterns.anywhere(pattern)?, replacement.clone())
            }
        }))
    }

    /// The path instead of `path`, of which the rule's match took `taken` bytes.
    pub fn apply(&self, path: &str, taken: usize) -> Changed {
        let rest = |taken: usize| path.get(taken..).unwrap_or_default();
        let changed = match &self.0 {
            Change::Full(full) => full.to_string(),
            Change::Elements(prefix) => format!("{prefix}{}", rest(taken)),
            // Without a path match the prefix that is replaced is `/`.
            Change::Letters(prefix) => format!("{prefix}{}", rest(taken.max(1))),
            Change::Expression(expression, replacement) => expression.replace(path, replacement),
        };
        let (path, query) = match changed.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (&changed[..], None),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Changed { path, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(rewrite: &PathRewrite, path: &str, taken: usize) -> String {
        PathChange::compile(rewrite, &mut Patterns::default()).unwrap().apply(path, taken).path
    }

    /// What the match took, the path, the replacement, and what is left: the table of the Gateway API's documentation.
    #[test]
    fn prefixes_of_whole_elements() {
        for (path, taken, replacement, expected) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar/", "/foo", "/xyz", "/xyz/bar/"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/strip-prefix/three", "/strip-prefix", "/", "/three"),
            ("/any", "", "/xyz", "/xyz/any"),
        ] {
            let rewrite = PathRewrite::Elements(replacement.into());
            assert_eq!(apply(&rewrite, path, taken.len()), expected, "{path} without {taken}, {replacement}");
        }
    }

    #[test]
    fn prefixes_of_letters() {
        for (path, taken, replacement, expected) in [
            ("/api/v1", "/api/", "/", "/v1"),
            ("/api/v1", "/api", "/", "//v1"),
            ("/apiv1", "/api", "/x", "/xv1"),
            ("/api", "/api", "", "/"),
            ("/exact", "/exact", "/new", "/new"),
            ("/any", "", "/new/", "/new/any"),
        ] {
            let rewrite = PathRewrite::Prefix(replacement.into());
            assert_eq!(apply(&rewrite, path, taken.len()), expected, "{path} without {taken}, {replacement}");
        }
    }

    #[test]
    fn whole_paths_and_expressions() {
        assert_eq!(apply(&PathRewrite::Full("/x".into()), "/a/b", 2), "/x");
        assert_eq!(apply(&PathRewrite::Full("".into()), "/a/b", 2), "/");
        let regex = |pattern: &str, replacement: &str| PathRewrite::Regex {
            pattern: pattern.into(),
            replacement: replacement.into(),
        };
        assert_eq!(apply(&regex("^/a/([0-9]+)$", r"/b/\1/c"), "/a/12", 5), "/b/12/c");
        assert_eq!(apply(&regex("^/a", ""), "/a/12", 5), "/12");
        assert_eq!(apply(&regex(".*", ""), "/a/12", 5), "/");
        assert_eq!(apply(&regex("^none$", "/x"), "/a", 2), "/a");
        let change =
            PathChange::compile(&PathRewrite::Full("/x?y=1".into()), &mut Patterns::default()).unwrap();
        assert_eq!(change.apply("/a", 2), Changed { path: "/x".into(), query: Some("y=1".into()) });
    }
}
