//! How single fields are read and when they are left out in writing.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::problem::quoted;

/// `skip_serializing_if` for booleans whose default is false.
#[allow(clippy::trivially_copy_pass_by_ref)] // the signature is serde's
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}

/// Whether a value is its type's default, for `skip_serializing_if`.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A TCP or UDP port, 1 to 65535.
pub(crate) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    let number = i64::deserialize(deserializer)?;
    port_number(number).map_err(Error::custom)
}

/// As [`port`], or nothing when the field is absent or null.
pub(crate) fn optional_port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    Option::<i64>::deserialize(deserializer)?
        .map(|number| port_number(number).map_err(Error::custom))
        .transpose()
}

/// Checks a port's range; the error is the reason and the remedy.
pub(crate) fn port_number(number: i64) -> Result<u16, String> {
    u16::try_from(number)
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("port {number} is out of range; use a port from 1 to 65535"))
}

/// An IP address, without prefix or zone.
pub(crate) fn ip_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_ip(&text).map_err(Error::custom)
}

/// As [`ip_address`]; an absent, null or empty field is nothing.
pub(crate) fn optional_ip_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<IpAddr>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if !text.is_empty() => parse_ip(&text).map(Some).map_err(Error::custom),
        _ => Ok(None),
    }
}

/// An RFC 3339 time; an absent, null or empty field is nothing.
pub(crate) fn optional_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Error::custom(format!("{} is not a time; write one such as 2026-01-31T12:00:00Z", quoted(&text)))
    })
}

/// Parses an IP address; the error is the reason and the remedy. An IPv4 address has one spelling only.
pub(crate) fn parse_ip(text: &str) -> Result<IpAddr, String> {
    match text.parse() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(format!("{address} is an IPv4 address in IPv6 form; write it as IPv4"))
        }
        Ok(address) => Ok(address),
        Err(_) => {
            Err(format!("{} is not an IP address; write one such as 10.0.0.1 or fd00::1", quoted(text)))
        }
    }
}

/// A boolean in an annotation, in the spellings that Go's `strconv.ParseBool` accepts.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
