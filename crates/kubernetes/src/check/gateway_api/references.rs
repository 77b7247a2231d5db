//! Parents, backends and host names.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::check::Complaints;
use crate::gateway_api::{BackendObject, ParentRef};
use crate::problem::quoted;
use crate::{FieldPath, name_rules};

/// Largest weight of a backend.
const MOST_WEIGHT: u32 = 1_000_000;

/// A parent is named once, and its parts one by one.
pub(super) fn parents(refs: &[ParentRef], at: &FieldPath, complaints: &mut Complaints<'_>) {
    if refs.is_empty() {
        complaints.add(at, "the route is attached to nothing", "name a Gateway or Service");
    }
    let mut seen: HashSet<ParentRef> = HashSet::new();
    for (index, parent) in refs.iter().enumerate() {
        let path = at.index(index);
        named(&parent.name, parent.namespace.as_deref(), &path, complaints);
        if let Some(section) = &parent.section_name {
            complaints.expect(&path.key("sectionName"), name_rules::dns_subdomain(section));
        }
        let (group, kind) = parent.of();
        let plain =
            ParentRef { group: Some(group.to_owned()), kind: Some(kind.to_owned()), ..parent.clone() };
        let whole = ParentRef { port: None, section_name: None, ..plain.clone() };
        let part = plain != whole;
        let overlaps = seen.iter().any(|other| {
            let other_whole = ParentRef { port: None, section_name: None, ..other.clone() };
            other_whole == whole && (!part || *other == other_whole || *other == plain)
        });
        if overlaps {
            let reason = "this parent is named twice";
            complaints.add(&path, reason, "keep one, or give each its own sectionName or port");
        }
        seen.insert(plain);
    }
}

/// A backend has a name, and a Service has a port. Whether it exists is not asked here.
pub(super) fn backend(object: &BackendObject, at: &FieldPath, complaints: &mut Complaints<'_>) {
    named(&object.name, object.namespace.as_deref(), at, complaints);
    if object.of() == ("", "Service") && object.port.is_none() {
        complaints.add(&at.key("port"), "a Service needs a port here", "set port");
    }
}

pub(super) fn weight(weight: Option<u32>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if let Some(weight) = weight.filter(|weight| *weight > MOST_WEIGHT) {
        let reason = format!("{weight} is out of range");
        complaints.add(&at.key("weight"), reason, format!("use 0 to {MOST_WEIGHT}"));
    }
}

fn named(name: &str, namespace: Option<&str>, at: &FieldPath, complaints: &mut Complaints<'_>) {
    if name.is_empty() {
        complaints.add(&at.key("name"), "the reference has no name", "set name");
    } else {
        complaints.expect(&at.key("name"), name_rules::dns_subdomain(name));
    }
    if let Some(namespace) = namespace {
        complaints.expect(&at.key("namespace"), name_rules::dns_label(namespace));
    }
}

pub(super) fn hostnames(names: &[String], at: &FieldPath, complaints: &mut Complaints<'_>) {
    for (index, name) in names.iter().enumerate() {
        complaints.expect(&at.index(index), hostname(name));
    }
}

/// A host name with at most one `*.` in front, and no address.
pub(super) fn hostname(text: &str) -> Result<(), String> {
    precise_hostname(text.strip_prefix("*.").unwrap_or(text)).map_err(|_| {
        let wanted = "use letters of lower case as in www.example.com or *.example.com, no address";
        format!("{} is not a host name; {wanted}", quoted(text))
    })
}

/// A host name without wildcard, and no address.
pub(super) fn precise_hostname(text: &str) -> Result<(), String> {
    if text.parse::<IpAddr>().is_err() && name_rules::dns_subdomain(text).is_ok() {
        return Ok(());
    }
    let wanted = "use letters of lower case as in www.example.com, no address and no *";
    Err(format!("{} is not a host name; {wanted}", quoted(text)))
}

/// The name of a header, a token of RFC 9110 section 5.6.2.
pub(in crate::check) fn header_name(text: &str) -> Result<(), String> {
    if is_token(text) && text.len() <= 256 {
        return Ok(());
    }
    Err(format!("{} is not a header's name; use letters, digits and -", quoted(text)))
}

pub(super) fn is_token(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(fine)
}
