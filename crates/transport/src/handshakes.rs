//! How many strangers may be in the middle of a TLS handshake with one worker: bounded in all, and for each address, so
//! that one pod that only knocks cannot keep the others out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// At most this many at once.
const IN_ALL: usize = 1024;
/// At most this many from one address.
const FROM_ONE: usize = 64;

/// The handshakes that are under way.
#[derive(Debug, Clone, Default)]
pub struct Handshakes {
    seats: Arc<Mutex<Seats>>,
}

#[derive(Debug, Default)]
struct Seats {
    taken: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place for one handshake; dropping it frees it.
#[derive(Debug)]
pub struct Seat {
    handshakes: Handshakes,
    address: IpAddr,
}

impl Handshakes {
    /// A place for a handshake with this peer, if there is one.
    pub fn take(&self, address: IpAddr) -> Option<Seat> {
        let mut seats = self.seats.lock();
        if seats.taken >= IN_ALL {
            return None;
        }
        let of_one = seats.by_address.entry(address).or_default();
        if *of_one >= FROM_ONE {
            return None;
        }
        *of_one += 1;
        seats.taken += 1;
        Some(Seat { handshakes: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.handshakes.seats.lock();
        seats.taken -= 1;
        if let Some(of_one) = seats.by_address.get_mut(&self.address) {
            *of_one -= 1;
            if *of_one == 0 {
                seats.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_seat() {
        let handshakes = Handshakes::default();
        let (greedy, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let mut seats: Vec<_> = (0..FROM_ONE).map(|_| handshakes.take(greedy).unwrap()).collect();
        assert!(handshakes.take(greedy).is_none());
        assert!(handshakes.take(other).is_some());
        seats.pop();
        assert!(handshakes.take(greedy).is_some());
    }

    #[test]
    fn the_whole_is_bounded_and_nothing_is_left_of_those_that_went() {
        let handshakes = Handshakes::default();
        let address = |number: usize| IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
        let seats: Vec<_> = (0..IN_ALL).map(|number| handshakes.take(address(number)).unwrap()).collect();
        assert!(handshakes.take(address(IN_ALL)).is_none());
        drop(seats);
        let left = handshakes.seats.lock();
        assert_eq!((left.taken, left.by_address.len()), (0, 0));
    }
}
