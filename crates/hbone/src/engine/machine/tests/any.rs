//! Whatever comes, in whatever pieces: no panic, the same outcome, and bounded.

use proptest::prelude::*;

use super::{LIMITS, block, bytes_of, connect, feed};
use crate::engine::frame::PREFACE;
use crate::engine::machine::{FORGOTTEN, Machine, Role};

/// Frames that are nearly right.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        Just(block(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")])),
        Just(block(&[(":status", "200")])),
        Just(block(&[("x", "y")])),
        Just(vec![0; 4]),
        Just(vec![0, 0, 1, 0]),
        Just(vec![0, 4, 0, 0, 0, 9]),
        Just(vec![0; 8]),
    ];
    let flags = prop_oneof![Just(0u8), Just(1), Just(4), Just(5), Just(8), Just(9), any::<u8>()];
    let kinds = prop_oneof![Just(0u8), Just(1), 0u8..11];
    let one = (kinds, flags, 0u32..8, payload)
        .prop_map(|(kind, flags, stream, payload)| bytes_of(kind, flags, stream, &payload));
    let one = prop_oneof![4 => one, 1 => (0u32..4).prop_map(|number| connect(number * 2 + 1))];
    prop::collection::vec(one, 0..60).prop_map(|frames| frames.concat())
}

fn machine(role: Role) -> Machine {
    let mut machine = Machine::new(role, LIMITS);
    if role == Role::Client {
        for _ in 0..3 {
            machine.request(|field| field(b":method", b"CONNECT")).unwrap();
        }
    }
    machine
}

fn outcome(role: Role, pieces: &[&[u8]]) -> Result<String, TestCaseError> {
    let mut machine = machine(role);
    let (said, result) = feed(&mut machine, pieces);
    prop_assert!(role == Role::Client || machine.streams.len() <= LIMITS.max_streams as usize);
    prop_assert!(machine.forgotten.len() <= FORGOTTEN);
    Ok(format!("{said:?} {result:?} {:?}", machine.output()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn pieces_make_no_difference(
        rest in frames(),
        server in any::<bool>(),
        cuts in prop::collection::vec(1usize..30, 1..200)
    ) {
        let role = if server { Role::Server } else { Role::Client };
        let preface = if server { PREFACE } else { &[] };
        let all = [preface, &bytes_of(4, 0, 0, &[]), &rest].concat();
        let whole = outcome(role, &[&all])?;
        let mut pieces: Vec<&[u8]> = Vec::new();
        let mut left = all.as_slice();
        for cut in cuts.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (piece, after) = left.split_at(left.len().min(*cut));
            pieces.push(piece);
            left = after;
        }
        prop_assert_eq!(whole, outcome(role, &pieces)?);
    }

    #[test]
    fn any_bytes_are_survived(rest in prop::collection::vec(any::<u8>(), 0..400), server in any::<bool>()) {
        let role = if server { Role::Server } else { Role::Client };
        outcome(role, &[&rest])?;
        let preface = if server { PREFACE } else { &[] };
        outcome(role, &[preface, &bytes_of(4, 0, 0, &[]), &rest])?;
    }
}
