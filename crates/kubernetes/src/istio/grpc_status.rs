//! gRPC's status codes by name or number.

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The number of a status, such as 14 for `UNAVAILABLE` and for `14`.
pub fn grpc_status(text: &str) -> Option<u16> {
    let named = || NAMES.iter().position(|name| *name == text).and_then(|at| u16::try_from(at).ok());
    let number = text.parse().ok().filter(|number| usize::from(*number) < NAMES.len());
    named().or(number)
}

#[cfg(test)]
mod tests {
    use super::grpc_status;

    #[test]
    fn by_name_and_by_number() {
        for (text, status) in [
            ("OK", Some(0)),
            ("UNAVAILABLE", Some(14)),
            ("16", Some(16)),
            ("17", None),
            ("unavailable", None),
            ("", None),
        ] {
            assert_eq!(grpc_status(text), status, "{text}");
        }
    }
}
