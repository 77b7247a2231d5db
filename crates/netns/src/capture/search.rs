//! Does a marker occur in what passes by, even when it is split over two segments?

use std::collections::HashMap;
use std::net::SocketAddr;

use super::Segment;

/// How many directions of connections are remembered; beyond it, all are forgotten at once.
const DIRECTIONS: usize = 16_384;

/// Looks for a marker in TCP streams, segment by segment.
#[derive(Debug, Clone)]
pub struct Search {
    marker: Vec<u8>,
    /// The last bytes of each direction, one less than the marker has.
    tails: HashMap<(SocketAddr, SocketAddr), Vec<u8>>,
}

impl Search {
    /// Looks for `marker`; an empty one is never found.
    pub fn new(marker: impl Into<Vec<u8>>) -> Self {
        Self { marker: marker.into(), tails: HashMap::new() }
    }

    /// Whether the marker ends in this segment. Segments of one direction must come in order.
    pub fn found(&mut self, segment: &Segment<'_>) -> bool {
        if self.marker.is_empty() || segment.payload.is_empty() {
            return false;
        }
        if self.tails.len() >= DIRECTIONS {
            self.tails.clear();
        }
        let tail = self.tails.entry((segment.source, segment.destination)).or_default();
        tail.extend_from_slice(segment.payload);
        let found = tail.windows(self.marker.len()).any(|window| window == self.marker);
        let surplus = tail.len().saturating_sub(self.marker.len() - 1);
        tail.drain(..surplus);
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert_eq, proptest};

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], port))
    }

    proptest! {
        #[test]
        fn found_as_often_as_in_the_whole_stream(text in "[ab]{0,40}", cuts in prop::collection::vec(1..7usize, 1..40)) {
            let marker = "abba";
            let wanted = text.as_bytes().windows(marker.len()).any(|window| window == marker.as_bytes());
            let (mut search, mut rest, mut found) = (Search::new(marker), text.as_bytes(), false);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (payload, after) = rest.split_at((*cut).min(rest.len()));
                found |= search.found(&Segment { source: at(1), destination: at(2), payload });
                rest = after;
            }
            prop_assert_eq!(found, wanted);
        }
    }

    #[test]
    fn directions_are_not_mixed() {
        let mut search = Search::new("ab");
        assert!(!search.found(&Segment { source: at(1), destination: at(2), payload: b"a" }));
        assert!(!search.found(&Segment { source: at(2), destination: at(1), payload: b"b" }));
        assert!(search.found(&Segment { source: at(1), destination: at(2), payload: b"b" }));
        assert!(!search.found(&Segment { source: at(1), destination: at(2), payload: b"b" }));
    }
}
