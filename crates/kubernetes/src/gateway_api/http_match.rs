//! Which requests a rule of an HTTPRoute is for.

use serde::{Deserialize, Serialize};

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpMatch {
    /// Path; every path if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<HttpPathMatch>,
    /// Headers, of which the first of each name counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HttpFieldMatch>,
    /// Query parameters, of which the first of each name counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HttpFieldMatch>,
    /// Method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// A comparison with the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpPathMatch {
    /// How it is compared; `PathPrefix` if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<PathMatchType>,
    /// With what; `/` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// How a path is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathMatchType {
    /// The whole path.
    Exact,
    /// Whole elements from its beginning.
    #[default]
    PathPrefix,
    /// An expression that must match the whole path.
    RegularExpression,
}

/// A comparison with a header, or with a query parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HttpFieldMatch {
    /// How it is compared; `Exact` if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<MatchType>,
    /// Its name.
    pub name: String,
    /// With what.
    pub value: String,
}

/// How a text is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MatchType {
    /// The whole text.
    #[default]
    Exact,
    /// An expression that must match the whole text.
    RegularExpression,
}

impl HttpPathMatch {
    /// How and with what it is compared, defaults filled in.
    pub fn comparison(&self) -> (PathMatchType, &str) {
        (self.kind.unwrap_or_default(), self.value.as_deref().unwrap_or("/"))
    }
}

impl HttpMatch {
    /// How and with what the path is compared, defaults filled in.
    pub fn path(&self) -> (PathMatchType, &str) {
        self.path.as_ref().map_or((PathMatchType::PathPrefix, "/"), HttpPathMatch::comparison)
    }
}
