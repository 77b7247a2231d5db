//! Session persistence of a rule.

use super::references::{header_name, is_token};
use crate::FieldPath;
use crate::check::Complaints;
use crate::gateway_api::{CookieLifetime, SessionPersistence, SessionType};
use crate::problem::quoted;

pub(super) fn check(one: &SessionPersistence, at: &FieldPath, complaints: &mut Complaints<'_>) {
    let kind = one.kind.unwrap_or(SessionType::Cookie);
    if one.idle_timeout.is_some() {
        let reason = "idleTimeout is not part of the Gateway API any more, and not kept here";
        complaints.add(&at.key("idleTimeout"), reason, "use absoluteTimeout");
    }
    let (cookie, header) = (one.cookie.as_ref(), one.header.as_ref());
    if kind == SessionType::Header && cookie.is_some() {
        complaints.add(&at.key("cookie"), "cookie does not go with type Header", "remove it");
    }
    if kind == SessionType::Cookie && header.is_some() {
        complaints.add(
            &at.key("header"),
            "header does not go with type Cookie",
            "remove it, or set type: Header",
        );
    }
    if kind == SessionType::Header && header.is_none() && one.session_name.is_none() {
        complaints.add(at, "type Header needs header", "set header.name");
    }
    if let Some(header) = header {
        complaints.expect(&at.key("header").key("name"), header_name(&header.name));
    }
    let names = [
        (at.key("cookie").key("name"), cookie.and_then(|cookie| cookie.name.as_deref())),
        (at.key("sessionName"), one.session_name.as_deref()),
    ];
    for (path, name) in names {
        if let Some(name) = name.filter(|name| !is_token(name)) {
            let reason = format!("{} is not the name of a cookie or header", quoted(name));
            complaints.add(&path, reason, "use letters, digits, - and _");
        }
    }
    if let Some(path) = cookie.and_then(|cookie| cookie.path.as_deref())
        && !(path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';'))
    {
        let reason = format!("{} is not a cookie's path", quoted(path));
        complaints.add(&at.key("cookie").key("path"), reason, "begin it with /, without ; and spaces");
    }
    let permanent = cookie.and_then(|cookie| cookie.lifetime_type) == Some(CookieLifetime::Permanent);
    if permanent && one.absolute_timeout.is_none() {
        let reason = "a permanent cookie needs absoluteTimeout";
        complaints.add(&at.key("absoluteTimeout"), reason, "set it");
    }
}
