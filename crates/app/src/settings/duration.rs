//! Durations as Go writes them (`time.ParseDuration`), which is how Istio's settings do.

use std::fmt::Write;
use std::time::Duration;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// No digits where a number should begin.
    #[error("a number is missing at {0:?}")]
    Number(String),
    /// A number without a unit.
    #[error("a unit (h, m, s, ms, us, ns) is missing after {0:?}")]
    Unit(String),
    /// A minus sign.
    #[error("it is negative")]
    Negative,
    /// More than Go's 290 years.
    #[error("it is longer than 290 years")]
    TooLong,
}

/// Go's longest duration: an `int64` of nanoseconds.
const LONGEST: u128 = i64::MAX as u128;

/// A sum of numbers with units (`1h30m`, `1.5s`, `250ms`), or `0`. Units: `ns`, `us` (or `µs`), `ms`, `s`, `m`, `h`.
///
/// # Errors
/// Not of this form, negative, or longer than Go's `time.Duration` holds.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(DurationError::Number(text.to_owned()));
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = term(rest)?;
        total = total.saturating_add(part);
        rest = after;
    }
    if total > LONGEST {
        return Err(DurationError::TooLong);
    }
    u64::try_from(total).map(Duration::from_nanos).map_err(|_| DurationError::TooLong)
}

/// The nanoseconds of the first number and unit, and what follows them.
fn term(text: &str) -> Result<(u128, &str), DurationError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = rest.strip_prefix('.').map_or(("", rest), digits);
    if whole.is_empty() && fraction.is_empty() {
        return Err(DurationError::Number(text.to_owned()));
    }
    let number = &text[..text.len() - rest.len()];
    let (unit, rest) = unit(rest).ok_or_else(|| DurationError::Unit(number.to_owned()))?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| DurationError::TooLong)? };
    let mut nanoseconds = whole.saturating_mul(unit);
    let mut place = unit;
    for digit in fraction.bytes() {
        // Exact as long as the place is; digits below a nanosecond are dropped, as Go does.
        nanoseconds = nanoseconds.saturating_add(place * u128::from(digit - b'0') / 10);
        place /= 10;
    }
    Ok((nanoseconds, rest))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

fn unit(text: &str) -> Option<(u128, &str)> {
    const UNITS: [(&str, u128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("μs", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    UNITS.iter().find_map(|(name, nanoseconds)| text.strip_prefix(name).map(|rest| (*nanoseconds, rest)))
}

/// The shortest text that [`parse_duration`] reads back to exactly this duration: `1h30m`, `1s500ms`, `0s`.
pub fn duration_text(duration: Duration) -> String {
    let mut text = String::new();
    let seconds = duration.as_secs();
    let nanoseconds = duration.subsec_nanos();
    let parts = [
        (seconds / 3600, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(nanoseconds / 1_000_000), "ms"),
        (u64::from(nanoseconds / 1_000 % 1_000), "us"),
        (u64::from(nanoseconds % 1_000), "ns"),
    ];
    for (count, unit) in parts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(text, "{count}{unit}");
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_durations_are_read() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("0", ms(0)),
            ("10s", ms(10_000)),
            ("5m", ms(300_000)),
            ("1h30m", ms(5_400_000)),
            ("1.5s", ms(1_500)),
            (".5s", ms(500)),
            ("1.s", ms(1_000)),
            ("250ms", ms(250)),
            ("+1s", ms(1_000)),
            (" 1s ", ms(1_000)),
            ("3us", Duration::from_micros(3)),
            ("3µs", Duration::from_micros(3)),
            ("7ns", Duration::from_nanos(7)),
            ("0.0000000019s", Duration::from_nanos(1)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        assert_eq!(parse_duration("10"), Err(DurationError::Unit("10".to_owned())));
        assert_eq!(parse_duration("10 s"), Err(DurationError::Unit("10".to_owned())));
        assert_eq!(parse_duration("1d"), Err(DurationError::Unit("1".to_owned())));
        assert_eq!(parse_duration(""), Err(DurationError::Number(String::new())));
        assert_eq!(parse_duration("s"), Err(DurationError::Number("s".to_owned())));
        assert_eq!(parse_duration("."), Err(DurationError::Number(".".to_owned())));
        assert_eq!(parse_duration("1s.s"), Err(DurationError::Number(".s".to_owned())));
        assert_eq!(parse_duration("-1s"), Err(DurationError::Negative));
        assert_eq!(parse_duration("2562048h"), Err(DurationError::TooLong));
        assert_eq!(parse_duration(&"9".repeat(60)), Err(DurationError::Unit("9".repeat(60))));
        assert_eq!(parse_duration(&format!("{}h", "9".repeat(60))), Err(DurationError::TooLong));
    }

    proptest! {
        #[test]
        fn written_durations_are_read_back(nanoseconds in 0..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanoseconds);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.hmsnuµ+-]*") {
            let _ = parse_duration(&text);
        }
    }
}
