//! Status conditions that are not as an author hopes, one line each: the words are those of the Gateway API and Istio.

use std::fmt::Display;

/// `OBJECT: CONDITION=False (REASON): text`.
pub(super) fn unmet(object: impl Display, condition: &str, reason: &str, text: impl Display) -> String {
    format!("{object}: {condition}=False ({reason}): {text}")
}
