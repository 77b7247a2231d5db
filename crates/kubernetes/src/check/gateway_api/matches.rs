//! Matches of an HTTPRoute's rule.

use super::references::{header_name, is_token};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{HttpFieldMatch, HttpMatch, MatchType, PathMatchType};
use crate::problem::quoted;

/// The methods that a rule may name.
pub(super) const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

pub(super) fn http(one: &HttpMatch, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(path) = &one.path {
        let (kind, value) = path.comparison();
        complaints.expect(&at.key("path").key("value"), path_value(kind, value));
    }
    headers(&one.headers, &at.key("headers"), complaints);
    for (index, query) in one.query_params.iter().enumerate() {
        let path = at.key("queryParams").index(index);
        if query.name.is_empty() || !is_token(&query.name) {
            let reason = format!("{} is not a parameter's name", quoted(&query.name));
            complaints.add(&path.key("name"), reason, "write the name without = and &");
        }
        value(query, &path, complaints);
    }
    unique(&one.query_params, &at.key("queryParams"), |name| name.to_owned(), complaints);
    if let Some(method) = one.method.as_deref().filter(|method| !METHODS.contains(method)) {
        let reason = format!("{} is not a method", quoted(method));
        complaints.add(&at.key("method"), reason, format!("use one of {}", METHODS.join(", ")));
    }
}

pub(super) fn headers(list: &[HttpFieldMatch], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, header) in list.iter().enumerate() {
        let path = at.index(index);
        complaints.expect(&path.key("name"), header_name(&header.name));
        value(header, &path, complaints);
    }
    unique(list, at, str::to_ascii_lowercase, complaints);
}

fn value(one: &HttpFieldMatch, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if one.value.is_empty() {
        complaints.add(&at.key("value"), "the value is empty", "write the value to compare with");
    } else if one.kind == Some(MatchType::RegularExpression) {
        complaints.expect(&at.key("value"), expression(&one.value));
    }
}

/// An expression that waypoints can read, in RE2's syntax.
pub(in crate::check) fn expression(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("the expression is empty; write one".to_owned());
    }
    match regex::Regex::new(text) {
        Ok(_) => Ok(()),
        Err(regex::Error::CompiledTooBig(_)) => {
            Err(format!("{} is too large an expression; make its repetitions smaller", quoted(text)))
        }
        Err(_) => Err(format!("{} is not an expression; write it in RE2's syntax", quoted(text))),
    }
}

/// Of two matches with one name only the first would count.
fn unique(
    list: &[HttpFieldMatch],
    at: &FieldPath,
    fold: impl Fn(&str) -> String,
    complaints: &mut Complaints<'_>,
) {
    let mut seen = std::collections::HashSet::new();
    for (index, one) in list.iter().enumerate() {
        if !seen.insert(fold(&one.name)) {
            let reason = format!("{} is matched twice, and only the first counts", quoted(&one.name));
            complaints.add(&at.index(index).key("name"), reason, "keep one");
        }
    }
}

/// A path as requests have it after it was made canonical: else nothing would ever match.
pub(super) fn path_value(kind: PathMatchType, value: &str) -> Result<(), String> {
    if kind == PathMatchType::RegularExpression {
        return expression(value);
    }
    if !value.starts_with('/') {
        return Err(format!("{} does not begin with /; write the path from its beginning", quoted(value)));
    }
    let lower = value.to_ascii_lowercase();
    let inside = ["//", "/./", "/../", "%2f", "#"].into_iter().find(|part| lower.contains(part));
    let end = ["/.", "/.."].into_iter().find(|part| lower.ends_with(part));
    if let Some(part) = inside.or(end) {
        let remedy = "write the path as it is after normalisation";
        return Err(format!("{} holds {part}, which no request's path has; {remedy}", quoted(value)));
    }
    if !path_bytes(value) {
        return Err(format!("{} is not a path; write other bytes as %XX", quoted(value)));
    }
    Ok(())
}

/// Bytes of a path (RFC 3986 section 3.3).
fn path_bytes(value: &str) -> bool {
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        let fine = match byte {
            b'%' => {
                let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
                hex(bytes.next()) && hex(bytes.next())
            }
            _ => byte.is_ascii_alphanumeric() || b"-/._~!$&'()*+,;=:@".contains(&byte),
        };
        if !fine {
            return false;
        }
    }
    true
}
