//! Shares in percent, as exact fractions.

use ambit_model::l7::Share;

/// Parts of a whole: four digits after the point of a percentage count (Istio).
const WHOLE: u32 = 1_000_000;

/// A share in percent; what is out of range is brought into it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // within 0 to 1,000,000
pub(super) fn percent(value: f64) -> Share {
    let numerator = (value.clamp(0.0, 100.0) * 10_000.0).round() as u32;
    Share { numerator, denominator: WHOLE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_count() {
        for (value, numerator) in [
            (0.0, 0),
            (100.0, WHOLE),
            (0.0001, 1),
            (33.3333, 333_333),
            (-1.0, 0),
            (200.0, WHOLE),
            (f64::NAN, 0),
        ] {
            assert_eq!(percent(value).numerator, numerator, "{value}");
        }
    }
}
