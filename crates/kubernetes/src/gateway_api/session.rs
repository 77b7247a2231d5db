//! Session persistence of a route's rule (GEP-1619).

use serde::{Deserialize, Serialize};

use super::GatewayDuration;

/// A client keeps its endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SessionPersistence {
    /// Former place of the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_name: Option<String>,
    /// After this time the session ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub absolute_timeout: Option<GatewayDuration>,
    /// After this time without a request the session ends (former versions).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<GatewayDuration>,
    /// Where it is remembered; in a cookie if absent.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<SessionType>,
    /// The cookie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cookie: Option<CookieConfig>,
    /// The header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<HeaderConfig>,
}

/// Where a session is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SessionType {
    /// In a cookie.
    Cookie,
    /// In a header.
    Header,
}

/// The cookie of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct CookieConfig {
    /// Name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long the client keeps it; `Session` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifetime_type: Option<CookieLifetime>,
}

/// How long a client keeps a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CookieLifetime {
    /// As long as the browser runs.
    Session,
    /// As long as the session's absolute timeout says.
    Permanent,
}

/// The header of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct HeaderConfig {
    /// Name.
    pub name: String,
}
