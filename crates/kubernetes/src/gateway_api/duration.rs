//! Durations as the Gateway API writes them (GEP-2257): up to four parts such as `1h30m`, `500ms`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::problem::quoted;

/// A duration of whole milliseconds, at most 99999h99999m99999s99999ms. Written in its shortest form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GatewayDuration(Duration);

/// A text that is no such duration; the message is the reason and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is not a duration; write one such as 10s, 500ms or 1h30m, with at most four parts of at most five digits"
)]
pub struct InvalidDuration(String);

/// The units from long to short, with their milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl GatewayDuration {
    /// Whole milliseconds of a duration.
    pub fn new(duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(Duration::from_millis(milliseconds))
    }

    /// The duration.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for GatewayDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let invalid = || InvalidDuration(quoted(text));
        let mut rest = text;
        let mut milliseconds: u64 = 0;
        for _ in 0..4 {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, after) = rest.split_at_checked(digits).ok_or_else(invalid)?;
            if !(1..=5).contains(&digits) {
                return Err(invalid());
            }
            let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
            let (unit, after) = after.split_at_checked(letters).ok_or_else(invalid)?;
            let (_, size) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(invalid)?;
            milliseconds += number.parse::<u64>().map_err(|_| invalid())? * size;
            rest = after;
            if rest.is_empty() {
                return Ok(Self(Duration::from_millis(milliseconds)));
            }
        }
        Err(invalid())
    }
}

impl fmt::Display for GatewayDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if rest == 0 {
            return formatter.write_str("0s");
        }
        for (unit, size) in UNITS {
            if rest / size > 0 {
                write!(formatter, "{}{unit}", rest / size)?;
            }
            rest %= size;
        }
        Ok(())
    }
}

impl Serialize for GatewayDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GatewayDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_examples_of_gep_2257() {
        for (text, milliseconds) in [
            ("0h", 0),
            ("0s", 0),
            ("0h0m0s", 0),
            ("1h", 3_600_000),
            ("30m", 1_800_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("2h30m", 9_000_000),
            ("150m", 9_000_000),
            ("7230s", 7_230_000),
            ("1h30m10s", 5_410_000),
            ("10s30m1h", 5_410_000),
            ("100ms200ms300ms", 600),
            ("99999h99999m99999s99999ms", 99_999 * 3_661_001),
        ] {
            let parsed: GatewayDuration = text.parse().unwrap();
            assert_eq!(parsed.get(), Duration::from_millis(milliseconds), "{text}");
        }
        for text in [
            "",
            "1",
            "1m1",
            "1h30m10s20ms50h",
            "999999h",
            "1.5h",
            "-15m",
            "1d",
            "h",
            "1 h",
            "1hm",
            "1H",
            "ms",
            "1h ",
            " 1h",
            "１h",
        ] {
            assert!(text.parse::<GatewayDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_shortest_form_is_written() {
        for (text, shortest) in
            [("0h", "0s"), ("150m", "2h30m"), ("7230s", "2h30s"), ("10500ms", "10s500ms"), ("60s", "1m")]
        {
            assert_eq!(text.parse::<GatewayDuration>().unwrap().to_string(), shortest);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(milliseconds in 0u64..300_000_000_000) {
            let duration = GatewayDuration::new(Duration::from_millis(milliseconds));
            prop_assert_eq!(duration.to_string().parse::<GatewayDuration>(), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}|[0-9hms]{0,30}") {
            let _ = text.parse::<GatewayDuration>();
        }
    }
}
