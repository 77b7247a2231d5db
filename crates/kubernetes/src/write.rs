//! Objects as YAML, in the form in which they are read.

use serde::Serialize;

use crate::Object;

/// An object cannot be written; it holds a text that YAML cannot.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {object} as YAML: {reason}; correct its fields")]
pub struct WriteError {
    object: String,
    reason: String,
}

#[derive(Serialize)]
struct Written<'a> {
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    object: &'a Object,
}

/// One object as a YAML document, empty fields left out; reading it gives the same object.
pub fn to_yaml(object: &Object) -> Result<String, WriteError> {
    let kind = object.kind();
    let written = Written { api_version: kind.api_version(), kind: kind.name(), object };
    serde_saphyr::to_string(&written).map_err(|error| WriteError {
        object: object.to_string(),
        reason: crate::problem::shortened(&error.to_string()),
    })
}

/// Several objects as one YAML stream, a document each.
pub fn to_yaml_documents<'a>(objects: impl IntoIterator<Item = &'a Object>) -> Result<String, WriteError> {
    let mut stream = String::new();
    for object in objects {
        if !stream.is_empty() {
            stream.push_str("---\n");
        }
        stream.push_str(&to_yaml(object)?);
    }
    Ok(stream)
}
