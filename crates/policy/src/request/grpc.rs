//! How is a failure told to a gRPC client? As a response of headers alone with a gRPC status (gRPC over HTTP/2,
//! "Responses"; Envoy's mapping of codes).

use std::fmt::Write;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};

/// The gRPC status for an HTTP status.
pub fn grpc_status(status: StatusCode) -> u16 {
    match status.as_u16() {
        200 => 0,
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The headers of a response (HTTP status 200) that tells a gRPC status and ends there.
pub fn grpc_response(status: u16, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", HeaderValue::from(status));
    if let Ok(message) = HeaderValue::try_from(percent_encoded(message)) {
        headers.insert("grpc-message", message);
    }
    headers
}

/// Everything but printable ASCII without `%` is escaped.
fn percent_encoded(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    for byte in message.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The gRPC status that headers or trailers tell.
pub fn told_status(headers: &HeaderMap) -> Option<u16> {
    headers.get("grpc-status")?.to_str().ok()?.trim().parse().ok()
}

/// How long a gRPC client waits (`grpc-timeout`): at most eight digits and a unit.
pub fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sample::headers;

    #[test]
    fn statuses_are_mapped_as_envoy_does() {
        let table = [
            (200, 0),
            (400, 13),
            (401, 16),
            (403, 7),
            (404, 12),
            (429, 14),
            (500, 2),
            (502, 14),
            (503, 14),
            (504, 14),
            (418, 2),
        ];
        for (http, grpc) in table {
            assert_eq!(grpc_status(StatusCode::from_u16(http).unwrap()), grpc, "{http}");
        }
    }

    #[test]
    fn messages_are_escaped() {
        let response = grpc_response(7, "100% \u{e9}\n~");
        assert_eq!(response["grpc-message"], "100%25 %C3%A9%0A~");
        assert_eq!(told_status(&response), Some(7));
        assert_eq!(response["content-type"], "application/grpc");
        assert_eq!(told_status(&headers(&[("grpc-status", "x")])), None);
    }

    #[test]
    fn timeouts_of_clients() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("6n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("999999999S", None),
            ("S", None),
            ("", None),
            ("1", None),
            ("1x", None),
            ("+1S", None),
            ("1.5S", None),
        ] {
            assert_eq!(grpc_timeout(&headers(&[("grpc-timeout", text)])), expected, "{text}");
        }
        let sign = HeaderValue::from_bytes("1\u{e9}".as_bytes()).unwrap();
        assert_eq!(
            grpc_timeout(&HeaderMap::from_iter([(http::HeaderName::from_static("grpc-timeout"), sign)])),
            None
        );
    }
}
