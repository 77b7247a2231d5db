//! Durations as Istio's objects write them: Go's form, of which protobuf's JSON is a part, such as `1.5s` or `1h30m`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problem::quoted;

/// A duration that is not negative. Written in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IstioDuration(Duration);

/// A text that is no such duration; the message is the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a duration; write one such as 10s, 0.5s, 500ms or 1h30m")]
pub struct InvalidIstioDuration(String);

/// Units with their nanoseconds. `µ` has two spellings in Unicode.
const UNITS: [(&str, u64); 8] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ns", 1),
];
/// Digits after the point that count: more than nanoseconds have.
const MOST_DECIMALS: usize = 12;

impl IstioDuration {
    /// A duration.
    pub fn new(duration: Duration) -> Self {
        Self(duration)
    }

    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

/// Nanoseconds of a decimal number of a unit.
fn nanoseconds(number: &str, unit: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && decimals.is_empty()) || !digits(whole) || !digits(decimals) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let decimals = &decimals[..decimals.len().min(MOST_DECIMALS)];
    let part = match decimals {
        "" => 0,
        digits => {
            let scale = 10_u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
            u64::try_from(digits.parse::<u128>().ok()? * u128::from(unit) / scale).ok()?
        }
    };
    whole.checked_mul(unit)?.checked_add(part)
}

impl FromStr for IstioDuration {
    type Err = InvalidIstioDuration;

    fn from_str(text: &str) -> Result<Self, InvalidIstioDuration> {
        let invalid = || InvalidIstioDuration(quoted(text));
        if text == "0" {
            return Ok(Self::default());
        }
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() || text.is_empty() {
            let end =
                rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or_else(invalid)?;
            let (number, after) = rest.split_at(end);
            let end =
                after.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(end);
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
            let part = nanoseconds(number, *size).ok_or_else(invalid)?;
            total = total.checked_add(part).ok_or_else(invalid)?;
            rest = after;
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

impl fmt::Display for IstioDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.subsec_nanos() {
            0 => write!(formatter, "{}s", self.0.as_secs()),
            nanos => {
                let decimals = format!("{nanos:09}");
                write!(formatter, "{}.{}s", self.0.as_secs(), decimals.trim_end_matches('0'))
            }
        }
    }
}

impl Serialize for IstioDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for IstioDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("500ms", 500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1m0.5s", 60_500_000_000),
            ("3\u{b5}s", 3_000),
            ("0.000000001s", 1),
        ] {
            assert_eq!(text.parse(), Ok(IstioDuration(Duration::from_nanos(nanoseconds))), "{text:?}");
        }
        for text in
            ["", "1", "s", "-1s", "+1s", "1 s", "1d", "1.2.3s", ".s", "1s1", "1S", "99999999999999h", "１s"]
        {
            assert!(text.parse::<IstioDuration>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(nanoseconds: u64) {
            let duration = IstioDuration(Duration::from_nanos(nanoseconds));
            prop_assert_eq!(duration.to_string().parse::<IstioDuration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}|[0-9.hmsunµ]{0,30}") {
            let _ = text.parse::<IstioDuration>();
        }
    }
}
