//! What a scalar means, as kubectl reads it (YAML 1.1 through sigs.k8s.io/yaml): `on` is a boolean, `0644` is octal.

/// A scalar: its text and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) meaning: Meaning,
}

/// What a scalar means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Null,
    Bool(bool),
    /// A whole number that fits 64 bits, signed or unsigned.
    Int(i128),
    /// Any other number; its text says which.
    Float,
    Text,
    /// The key `<<`, which merges a map into the one around it; as a value it is a text.
    Merge,
}

impl Meaning {
    /// What a plain (unquoted, untagged) scalar means.
    pub(crate) fn of_plain(text: &str) -> Self {
        match text {
            "" | "~" | "null" | "Null" | "NULL" => return Self::Null,
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Self::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Self::Bool(false);
            }
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan"
            | ".NaN" | ".NAN" => return Self::Float,
            "<<" => return Self::Merge,
            _ => {}
        }
        if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
            return Self::Text;
        }
        match integer(text) {
            Some(number) => Self::Int(number),
            None if is_float(text) => Self::Float,
            None => Self::Text,
        }
    }

    /// How a complaint names it.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "the boolean",
            Self::Int(_) | Self::Float => "the number",
            Self::Text | Self::Merge => "the text",
        }
    }
}

/// A whole number with optional sign, base prefix (`0x`, `0o`, `0b`, or the old `0`) and underscores.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.len() > 80 || !digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let magnitude = i128::from_str_radix(&digits.replace('_', ""), base).ok()?;
    let number = if negative { -magnitude } else { magnitude };
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&number).then_some(number)
}

/// Digits with at most one point and an optional exponent.
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()) && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_kubectl_does() {
        let int = Meaning::Int;
        for (text, meaning) in [
            ("", Meaning::Null),
            ("~", Meaning::Null),
            ("on", Meaning::Bool(true)),
            ("N", Meaning::Bool(false)),
            ("80", int(80)),
            ("-1", int(-1)),
            ("0644", int(0o644)),
            ("0o17", int(15)),
            ("0x1F", int(31)),
            ("1_000", int(1000)),
            ("18446744073709551615", int(u64::MAX.into())),
            ("18446744073709551616", Meaning::Float),
            ("08", Meaning::Float),
            ("1.10", Meaning::Float),
            ("1e10", Meaning::Float),
            (".5", Meaning::Float),
            ("-.inf", Meaning::Float),
            ("10.0.0.1", Meaning::Text),
            ("10.0.0.0/8", Meaning::Text),
            ("2026-01-01T00:00:00Z", Meaning::Text),
            ("12:30", Meaning::Text),
            ("-", Meaning::Text),
            (".", Meaning::Text),
            ("1e", Meaning::Text),
            ("0x", Meaning::Text),
            ("--1", Meaning::Text),
            ("-+1", Meaning::Text),
            ("truE", Meaning::Text),
        ] {
            assert_eq!(Meaning::of_plain(text), meaning, "{text:?}");
        }
    }
}
