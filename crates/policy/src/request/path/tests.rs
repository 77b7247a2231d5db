//! Every octet at every level, and the ways around a path rule that meshes have had.

use ambit_model::l7::mesh::Normalization::{self, Base, DecodeAndMergeSlashes, MergeSlashes, None as Raw};
use proptest::prelude::*;

use super::{InvalidPath, normalize};

const LEVELS: [Normalization; 4] = [Raw, Base, MergeSlashes, DecodeAndMergeSlashes];

/// Escapes of every octet, both cases of digits: only the unreserved are decoded, slashes at the last level, NUL never.
#[test]
fn every_escaped_octet_at_every_level() {
    for byte in 0..=u8::MAX {
        for digits in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            for level in LEVELS {
                let sent = format!("/admin{digits}x");
                let decoded = match byte {
                    0 => Err(InvalidPath::Nul),
                    _ if level == Raw => Ok(sent.clone()),
                    b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                        Ok(format!("/admin{}x", char::from(byte)))
                    }
                    b'/' | b'\\' if level == DecodeAndMergeSlashes => Ok("/admin/x".to_owned()),
                    _ => Ok(sent.clone()),
                };
                assert_eq!(normalize(&sent, level), decoded, "{sent} at {level:?}");
            }
        }
    }
}

/// What is sent, and what it is at each level, least first.
const TABLE: &[(&str, [&str; 4])] = &[
    ("/", ["/", "/", "/", "/"]),
    ("/app/", ["/app/", "/app/", "/app/", "/app/"]),
    ("/app/../admin", ["/app/../admin", "/admin", "/admin", "/admin"]),
    ("/app//", ["/app//", "/app//", "/app/", "/app/"]),
    ("/app/%2f", ["/app/%2f", "/app/%2f", "/app/%2f", "/app/"]),
    ("/app%2f/", ["/app%2f/", "/app%2f/", "/app%2f/", "/app/"]),
    ("/xyz%30..//abc", ["/xyz%30..//abc", "/xyz0..//abc", "/xyz0../abc", "/xyz0../abc"]),
    ("/app/%2E./admin", ["/app/%2E./admin", "/admin", "/admin", "/admin"]),
    (r"/app\admin", [r"/app\admin", "/app/admin", "/app/admin", "/app/admin"]),
    (r"/app/\/\/\admin", [r"/app/\/\/\admin", "/app//////admin", "/app/admin", "/app/admin"]),
    (
        "/%2Fapp%5cadmin%5Cabc",
        ["/%2Fapp%5cadmin%5Cabc", "/%2Fapp%5cadmin%5Cabc", "/%2Fapp%5cadmin%5Cabc", "/app/admin/abc"],
    ),
    (
        r"/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc",
        [
            r"/%5Capp%2f%5c%2F%2e%2e%2fadmin%5c\abc",
            "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
            "/%5Capp%2f%5c%2F..%2fadmin%5c/abc",
            "/app/admin/abc",
        ],
    ),
    ("/app//../admin", ["/app//../admin", "/app/admin", "/app/admin", "/app/admin"]),
    ("/app//../../admin", ["/app//../../admin", "/admin", "/admin", "/admin"]),
    ("/%c0%2e%c0%2e/admin", ["/%c0%2e%c0%2e/admin", "/%c0.%c0./admin", "/%c0.%c0./admin", "/%c0.%c0./admin"]),
    ("/%c0%2fadmin", ["/%c0%2fadmin", "/%c0%2fadmin", "/%c0%2fadmin", "/%c0/admin"]),
    ("//admin", ["//admin", "//admin", "/admin", "/admin"]),
    ("/./admin/.", ["/./admin/.", "/admin/", "/admin/", "/admin/"]),
    ("/a/..", ["/a/..", "/", "/", "/"]),
    ("/../../a", ["/../../a", "/a", "/a", "/a"]),
    ("/a{b}\u{e9}", ["/a{b}\u{e9}", "/a%7Bb%7D%C3%A9", "/a%7Bb%7D%C3%A9", "/a%7Bb%7D%C3%A9"]),
    ("/100%", ["/100%", "/100%", "/100%", "/100%"]),
    ("/100%x/", ["/100%x/", "/100%x/", "/100%x/", "/100%x/"]),
];

#[test]
fn spellings_at_every_level() {
    for (sent, expected) in TABLE {
        for (level, path) in LEVELS.into_iter().zip(expected) {
            assert_eq!(normalize(sent, level).as_deref(), Ok(*path), "{sent} at {level:?}");
        }
    }
}

/// Spellings that look like a way around and mean what they say: no second decoding, no wide forms, no parameters.
#[test]
fn what_only_looks_escaped_stays() {
    for path in [
        "/0x2e0x2e/admin",
        "/0x2f0x2fadmin",
        "/0x5c0x5cadmin",
        "/%25c0%25ae%25c1%259cadmin",
        "/%25c0%25afadmin",
        "/%252e%252e/admin",
        "/%252e%252e%252fadmin",
        "/%c1%9cadmin",
        "/%c0%ae%c0%ae/admin",
        "/%c0%afadmin",
        "/.../admin",
        "/..../admin",
        "/..;/admin",
        "/;/admin",
        "/admin;a=b",
        "/admin;a=b/xyz",
        "/admin,a=b/xyz",
        "/Admin",
        "/ADMIN",
    ] {
        for level in LEVELS {
            assert_eq!(normalize(path, level).as_deref(), Ok(path), "at {level:?}");
        }
    }
}

#[test]
fn paths_that_could_mean_something_else_are_refused() {
    for (path, why) in [
        ("", InvalidPath::Relative),
        ("admin", InvalidPath::Relative),
        ("*", InvalidPath::Relative),
        ("%2fadmin", InvalidPath::Relative),
        ("/a%00", InvalidPath::Nul),
        ("/a\0", InvalidPath::Nul),
        ("/%%32e%%32e/admin", InvalidPath::NestedEscape),
        ("/%2%65/admin", InvalidPath::NestedEscape),
        ("/%%0000", InvalidPath::NestedEscape),
    ] {
        for level in LEVELS {
            assert_eq!(normalize(path, level), Err(why), "{path:?} at {level:?}");
        }
    }
}

proptest! {
    /// A second pass changes nothing, so that a proxy behind this one sees what this one judged.
    #[test]
    fn once_is_enough(path in r"/([a-z./\\%{]|%2[ef]|%5[Cc]|%41|%25){0,24}") {
        for level in LEVELS {
            if let Ok(once) = normalize(&path, level) {
                prop_assert_eq!(normalize(&once, level), Ok(once.clone()), "at {:?}", level);
                let elements = || once.split('/').skip(1);
                if level >= Base {
                    prop_assert!(!once.contains('\\') && elements().all(|each| each != "." && each != ".."));
                }
                if level >= MergeSlashes {
                    prop_assert!(!once.contains("//"));
                }
            }
        }
    }

    #[test]
    fn nothing_panics(path in "\\PC{0,40}") {
        for level in LEVELS {
            let _ = normalize(&path, level);
        }
    }
}
