//! Why a request ended as it did, in the letters of Envoy's `response_flags`, which users of Istio search for.

use std::fmt;
use std::ops::BitOr;

/// A set of flags; shown as their letters joined by commas in Envoy's order, `-` for none.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RequestFlags(u32);

macro_rules! flags {
    ($($name:ident = $bit:literal, $letters:literal, $about:literal;)*) => {
        impl RequestFlags {
            $(#[doc = concat!("`", $letters, "`: ", $about, ".")]
            pub const $name: Self = Self(1 << $bit);)*

            const LETTERS: &'static [(Self, &'static str)] = &[$((Self::$name, $letters)),*];
        }
    };
}

flags! {
    NO_ENDPOINT = 0, "UH", "the service has no endpoint that may be chosen";
    TIMED_OUT = 1, "UT", "the endpoint did not answer in time";
    RESET_BY_ENDPOINT = 2, "UR", "the endpoint reset the stream before it had answered";
    CONNECT = 3, "UF", "the endpoint could not be connected to";
    ENDED_BY_ENDPOINT = 4, "UC", "the endpoint closed the connection before it had answered";
    OVERFLOW = 5, "UO", "a limit of the service was reached";
    NO_ROUTE = 6, "NR", "no route matches";
    DELAYED = 7, "DI", "a fault delayed it";
    ABORTED = 8, "FI", "a fault aborted it";
    LIMITED = 9, "RL", "a rate limit refused it";
    UNAUTHORIZED = 10, "UAEX", "an external service refused it";
    DISCONNECTED = 11, "DC", "the client went away";
    RETRIES_EXCEEDED = 12, "URX", "it was tried as often as allowed";
    CLIENT_PROTOCOL = 13, "DPE", "the client violated the protocol";
    ENDPOINT_PROTOCOL = 14, "UPE", "the endpoint violated the protocol";
    NO_CLUSTER = 15, "NC", "the route leads to a service that is not known";
    LIFETIME = 16, "DT", "it took longer than the request may";
    DRAINED = 17, "DF", "this proxy is leaving and its time is up";
}

impl RequestFlags {
    /// No flag.
    pub const NONE: Self = Self(0);

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Whether the request ended by the client, or by a limit here: no endpoint is to blame.
    pub fn is_ours(self) -> bool {
        self.contains(Self::DISCONNECTED) || self.contains(Self::OVERFLOW)
    }

    /// Whether all flags of `other` are in it.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for RequestFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for RequestFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters =
            Self::LETTERS.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, letters)| letters);
        f.write_str(letters.next().unwrap_or(&"-"))?;
        letters.try_for_each(|letters| write!(f, ",{letters}"))
    }
}

impl fmt::Debug for RequestFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_shown_in_their_letters() {
        assert_eq!(RequestFlags::NONE.to_string(), "-");
        assert_eq!(RequestFlags::NO_ENDPOINT.to_string(), "UH");
        assert_eq!((RequestFlags::TIMED_OUT | RequestFlags::RETRIES_EXCEEDED).to_string(), "UT,URX");
        assert!((RequestFlags::TIMED_OUT | RequestFlags::DELAYED).contains(RequestFlags::DELAYED));
    }

    #[test]
    fn every_flag_has_a_bit_of_its_own() {
        let all = RequestFlags::LETTERS.iter().fold(RequestFlags::NONE, |all, (flag, _)| {
            assert!(!all.contains(*flag), "{flag}");
            all | *flag
        });
        assert_eq!(all.to_string().split(',').count(), RequestFlags::LETTERS.len());
    }
}
