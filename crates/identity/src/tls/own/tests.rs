//! What right and hostile records do to an established connection, without any I/O.

use proptest::prelude::*;
use rustls::crypto::cipher::OutboundChunks;
use rustls::{AlertDescription, ContentType, PeerMisbehaved};
use tokio::io::duplex;
use tokio_test::task::spawn;

use super::*;
use crate::testing::{Root, identity};
use crate::tls::is_tls_refusal;
use crate::{ExpectedPeers, Provider};

const NOTHING: Opened = Opened { consumed: 0, delivered: 0 };

/// The client's and the server's end of a connection.
fn established(provider: Provider) -> (Records, Records) {
    let root = Root::new(provider);
    let (client, server) = (root.certificate(provider, "web"), root.certificate(provider, "cart"));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut here, mut there) = duplex(1 << 16);
    let config = client.sessions().client(&ExpectedPeers::from(identity("cart")), false).unwrap();
    let (near, far) = runtime.block_on(async {
        let name = "0.0.0.0".try_into().unwrap();
        tokio::join!(
            connect(&mut here, config, name),
            accept(&mut there, server.sessions().server(false).unwrap())
        )
    });
    (Records::new(near.unwrap()).unwrap(), Records::new(far.unwrap()).unwrap())
}

fn each_provider(test: impl Fn(Records, Records)) {
    for provider in Provider::COMPILED {
        let (client, server) = established(*provider);
        test(client, server);
        let (client, server) = established(*provider);
        test(server, client);
    }
}

/// What is queued, as it would cross the network.
fn wire(records: &mut Records) -> Vec<u8> {
    let mut bytes = Vec::new();
    let written = spawn(()).enter(|cx, _| records.queue.poll_write(&mut bytes, cx));
    assert!(matches!(written, Poll::Ready(Ok(()))));
    bytes
}

fn sealed(records: &mut Records, plain: &[u8]) -> Vec<u8> {
    records.seal(&[plain]).unwrap();
    wire(records)
}

/// A record with any content.
fn forged(records: &mut Records, typ: ContentType, content: &[u8]) -> Vec<u8> {
    records.push(typ, OutboundChunks::Single(content)).unwrap();
    wire(records)
}

fn open(records: &mut Records, bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    let opened = records.open(&mut bytes.to_vec(), &mut |pieces| plain.extend(pieces.concat()))?;
    assert_eq!((opened.consumed, opened.delivered), (bytes.len(), plain.len()));
    Ok(plain)
}

/// That `bytes` kill the connection for good, and that the peer learns why.
#[track_caller]
fn kills(records: &mut Records, peer: &mut Records, bytes: &[u8], expected: AlertDescription) -> Error {
    let error = open(records, bytes).unwrap_err();
    assert_eq!(records.ended(), Err(error.clone()));
    assert_eq!(records.seal(&[b"more"]), Err(error.clone()), "nothing is sealed any more");
    assert_eq!(open(records, &sealed(peer, b"good")), Err(error.clone()), "nothing is opened any more");
    assert!(!is_tls_refusal(&invalid(error.clone())), "{error}: what we refuse, the peer has not");
    let alert = wire(records);
    assert_eq!(open(peer, &alert), Err(Error::AlertReceived(expected)), "{error}");
    assert_eq!(wire(peer), b"", "an alert is not answered");
    error
}

#[test]
fn both_directions_carry_records_of_every_length() {
    each_provider(|mut near, mut far| {
        for length in [1_usize, 2, 255, 16_383, 16_384, 16_385, 100_000] {
            let plain: Vec<u8> = (0..length).map(|number| number as u8).collect();
            let bytes = sealed(&mut near, &plain);
            assert_eq!(bytes.len(), length + length.div_ceil(16_384) * (5 + 1 + 16));
            assert!(open(&mut far, &bytes).unwrap() == plain);
            let back = sealed(&mut far, &plain);
            assert!(open(&mut near, &back).unwrap() == plain);
        }
        near.seal(&[]).unwrap();
        near.seal(&[b"", b""]).unwrap();
        assert_eq!(wire(&mut near), b"", "nothing makes no record");
    });
}

#[test]
fn keys_change_before_their_life_ends_and_on_request() {
    each_provider(|mut near, mut far| {
        near.key_life = 5;
        let mut records = 0;
        for number in 0..100_u8 {
            let bytes = sealed(&mut near, &[number]);
            records += bytes.len() / 23;
            assert_eq!(open(&mut far, &bytes).unwrap(), [number]);
        }
        assert_eq!(records, 100 + 19, "one update before every sixth record");
        assert_eq!(wire(&mut far), b"", "nobody asked for the other key");
        // Requests are answered once, before the next data.
        for _ in 0..3 {
            near.update_key(true).unwrap();
            let request = wire(&mut near);
            assert_eq!(open(&mut far, &request).unwrap(), b"");
            assert_eq!(wire(&mut far), b"");
        }
        let answer = sealed(&mut far, b"x");
        assert_eq!(answer.len(), (5 + 5 + 1 + 16) + (5 + 1 + 1 + 16));
        assert_eq!(open(&mut near, &answer).unwrap(), b"x");
        let next = sealed(&mut far, b"y");
        assert_eq!(next.len(), 5 + 1 + 1 + 16);
        assert_eq!(open(&mut near, &next).unwrap(), b"y");
    });
}

#[test]
fn key_life_is_within_what_the_cipher_bears() {
    each_provider(|near, _| {
        let suite = keys::tls13(near.session.suite()).unwrap();
        assert!(near.key_life <= suite.common.confidentiality_limit / 2);
        assert!(near.key_life >= 1 << 20, "and updates are rare");
    });
}

#[test]
fn an_orderly_end() {
    each_provider(|mut near, mut far| {
        near.seal(&[b"last"]).unwrap();
        near.close().unwrap();
        near.close().unwrap();
        assert!(near.seal(&[b"late"]).is_err());
        let mut bytes = wire(&mut near);
        // What follows the end is ignored, whatever it is.
        bytes.extend_from_slice(b"garbage");
        assert_eq!(open(&mut far, &bytes).unwrap(), b"last");
        assert_eq!(far.ended(), Ok(true));
        assert_eq!(open(&mut far, b"more garbage").unwrap(), b"");
        // The other direction is still open.
        let back = sealed(&mut far, b"answer");
        assert_eq!(open(&mut near, &back).unwrap(), b"answer");
        assert!(near.sealing.is_none() && far.opening.is_none(), "the keys of an ended direction are gone");
    });
}

#[test]
fn records_are_opened_in_their_order_only() {
    use AlertDescription::BadRecordMac;
    let orders: [&[usize]; 5] = [&[1, 0], &[1], &[0, 2], &[0, 0], &[0, 1, 1]];
    for order in orders {
        each_provider(|mut near, mut far| {
            let records: Vec<_> = (0..3_u8).map(|number| sealed(&mut near, &[number; 40])).collect();
            let (last, first) = order.split_last().unwrap();
            for (number, index) in first.iter().enumerate() {
                if number == *index {
                    open(&mut far, &records[*index]).unwrap();
                } else {
                    assert_eq!(
                        kills(&mut far, &mut near, &records[*index], BadRecordMac),
                        Error::DecryptError
                    );
                    return;
                }
            }
            assert_eq!(kills(&mut far, &mut near, &records[*last], BadRecordMac), Error::DecryptError);
        });
    }
}

#[test]
fn a_record_of_the_old_key_is_refused_after_an_update() {
    each_provider(|mut near, mut far| {
        let old = sealed(&mut near, b"old");
        near.update_key(false).unwrap();
        let update = wire(&mut near);
        open(&mut far, &old).unwrap();
        open(&mut far, &update).unwrap();
        kills(&mut far, &mut near, &old, AlertDescription::BadRecordMac);
    });
}

#[test]
fn headers_that_no_record_has() {
    use AlertDescription::{BadRecordMac, RecordOverflow, UnexpectedMessage};
    each_provider(|mut near, mut far| {
        // An alert that anyone could have written is no refusal.
        kills(&mut far, &mut near, &[21, 3, 3, 0, 2, 2, 40], UnexpectedMessage);
    });
    each_provider(|mut near, mut far| {
        kills(&mut far, &mut near, &[20, 3, 3, 0, 1, 1], UnexpectedMessage);
    });
    each_provider(|mut near, mut far| {
        kills(&mut far, &mut near, b"GET / HTTP/1.1", UnexpectedMessage);
    });
    each_provider(|mut near, mut far| {
        kills(&mut far, &mut near, &[23, 3, 3, 0x41, 0x01], RecordOverflow);
    });
    each_provider(|mut near, mut far| {
        let mut bytes = sealed(&mut near, b"right but for its version");
        bytes[2] = 4;
        kills(&mut far, &mut near, &bytes, BadRecordMac);
    });
    each_provider(|mut near, mut far| {
        // Shorter than a tag.
        for length in 0..17 {
            let mut bytes = vec![23, 3, 3, 0, length];
            bytes.resize(5 + usize::from(length), 7);
            if length == 16 {
                kills(&mut far, &mut near, &bytes, BadRecordMac);
                return;
            }
            let (_, mut other) = established(Provider::default());
            assert_eq!(open(&mut other, &bytes), Err(Error::DecryptError));
        }
    });
}

#[test]
fn contents_that_no_record_has() {
    use AlertDescription::{DecodeError, IllegalParameter, UnexpectedMessage};
    let handshake = ContentType::Handshake;
    let cases: [(ContentType, &[u8], AlertDescription); 14] = [
        (ContentType::ChangeCipherSpec, &[1], UnexpectedMessage),
        (ContentType::Heartbeat, &[1, 0, 0], UnexpectedMessage),
        (ContentType::Unknown(77), &[1], UnexpectedMessage),
        (ContentType::Unknown(0), &[], UnexpectedMessage),
        (ContentType::Alert, &[], UnexpectedMessage),
        (ContentType::Alert, &[2], DecodeError),
        (ContentType::Alert, &[1, 0, 1, 0], DecodeError),
        (handshake, &[], UnexpectedMessage),
        (handshake, &[24, 0, 0, 1, 2], IllegalParameter),
        (handshake, &[24, 0, 0, 2, 0, 0], IllegalParameter),
        (handshake, &[24, 0, 0, 1, 0, 24, 0, 0, 1, 0], UnexpectedMessage),
        (handshake, &[0, 0, 0, 0], UnexpectedMessage),
        (handshake, &[1, 0, 0, 0], UnexpectedMessage),
        (handshake, &[13, 0, 0, 0], UnexpectedMessage),
    ];
    for (typ, content, expected) in cases {
        each_provider(|mut near, mut far| {
            let bytes = forged(&mut near, typ, content);
            kills(&mut far, &mut near, &bytes, expected);
        });
    }
    each_provider(|mut near, mut far| {
        let begun = forged(&mut near, handshake, &[24, 0]);
        open(&mut far, &begun).unwrap();
        let between = sealed(&mut near, b"data");
        let error = kills(&mut far, &mut near, &between, UnexpectedMessage);
        assert_eq!(error, PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into());
    });
}

#[test]
fn a_ticket_is_for_clients() {
    // Lifetime, age, nonce, a ticket of two bytes, no extensions.
    let ticket = [4, 0, 0, 15, 0, 0, 0, 9, 1, 2, 3, 4, 0, 0, 2, 8, 8, 0, 0];
    for provider in Provider::COMPILED {
        let (mut client, mut server) = established(*provider);
        let bytes = forged(&mut server, ContentType::Handshake, &ticket);
        assert_eq!(open(&mut client, &bytes).unwrap(), b"");
        let bytes = forged(&mut client, ContentType::Handshake, &ticket);
        kills(&mut server, &mut client, &bytes, AlertDescription::UnexpectedMessage);
        let (mut client, mut server) = established(*provider);
        let bytes = forged(&mut server, ContentType::Handshake, &[4, 0, 0, 3, 1, 2, 3]);
        kills(&mut client, &mut server, &bytes, AlertDescription::DecodeError);
    }
}

#[test]
fn floods_without_data_are_bounded() {
    let cases: [(ContentType, &[u8]); 3] = [
        (ContentType::ApplicationData, &[]),
        (ContentType::Alert, &[1, 90]),
        (ContentType::Handshake, &[24]),
    ];
    for (typ, content) in cases {
        each_provider(|mut near, mut far| {
            for _ in 0..3 {
                for _ in 0..32 {
                    if typ == ContentType::Handshake {
                        near.update_key(true).unwrap();
                        let update = wire(&mut near);
                        open(&mut far, &update).unwrap();
                    } else {
                        let empty = forged(&mut near, typ, content);
                        open(&mut far, &empty).unwrap();
                    }
                }
                // Data makes it good again.
                let data = sealed(&mut near, b"x");
                open(&mut far, &data).unwrap();
            }
            let mut flood = Vec::new();
            for _ in 0..33 {
                flood.extend(forged(&mut near, ContentType::ApplicationData, &[]));
            }
            kills(&mut far, &mut near, &flood, AlertDescription::UnexpectedMessage);
        });
    }
    each_provider(|mut near, mut far| {
        let mut flood = Vec::new();
        for _ in 0..33 {
            near.update_key(true).unwrap();
            flood.extend(wire(&mut near));
        }
        let error = kills(&mut far, &mut near, &flood, AlertDescription::UnexpectedMessage);
        assert_eq!(error, PeerMisbehaved::TooManyKeyUpdateRequests.into());
    });
}

#[test]
fn an_alert_ends_everything() {
    for alert in [[2, 42], [1, 42], [7, 42]] {
        each_provider(|mut near, mut far| {
            far.seal(&[b"never sent"]).unwrap();
            let bytes = forged(&mut near, ContentType::Alert, &alert);
            let error = open(&mut far, &bytes).unwrap_err();
            assert_eq!(error, Error::AlertReceived(AlertDescription::BadCertificate));
            assert!(is_tls_refusal(&invalid(error)));
            assert_eq!(wire(&mut far), b"");
            assert!(far.sealing.is_none() && far.opening.is_none());
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_changed_bit_is_noticed(length in 1..600_usize, position in any::<usize>(), bit in 0..8_u8) {
        let (mut near, mut far) = established(Provider::default());
        let mut bytes = sealed(&mut near, &vec![5; length]);
        let position = position % bytes.len();
        bytes[position] ^= 1 << bit;
        let mut plain = Vec::new();
        let outcome = far.open(&mut bytes, &mut |pieces| plain.extend(pieces.concat()));
        match outcome {
            // A longer length: it waits for bytes that can only be wrong.
            Ok(opened) => prop_assert!(opened == NOTHING && (3..5).contains(&position)),
            Err(error) => prop_assert!(!is_tls_refusal(&invalid(error))),
        }
        prop_assert!(plain.is_empty());
    }

    #[test]
    fn garbage_never_panics_and_never_passes(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000),
        headed in any::<bool>(),
    ) {
        let (_, mut far) = established(Provider::default());
        let mut bytes = bytes;
        if headed {
            let length = (bytes.len() as u16).to_be_bytes();
            bytes.splice(0..0, [23, 3, 3, length[0], length[1]]);
        }
        let mut delivered = false;
        let outcome = far.open(&mut bytes, &mut |_| delivered = true);
        prop_assert!(!delivered);
        prop_assert!(outcome.is_err() || bytes.len() < 5 || outcome == Ok(NOTHING));
    }

    #[test]
    fn any_cut_of_the_bytes_gives_the_same_plaintext(
        sizes in proptest::collection::vec(0..20_000_usize, 1..8),
        cuts in proptest::collection::vec(1..9_000_usize, 1..8),
        life in 2..9_u64,
    ) {
        let (mut near, mut far) = established(Provider::default());
        near.key_life = life;
        let data: Vec<u8> = (0..sizes.iter().sum::<usize>()).map(|number| (number % 251) as u8).collect();
        let mut rest = data.as_slice();
        for size in &sizes {
            let (piece, after) = rest.split_at(*size);
            let (head, tail) = piece.split_at(size / 3);
            near.seal(&[head, tail]).unwrap();
            rest = after;
        }
        let bytes = wire(&mut near);
        let (mut seen, mut held, mut rest) = (Vec::new(), Vec::new(), bytes.as_slice());
        for cut in cuts.iter().cycle() {
            let (now, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            held.extend_from_slice(now);
            let opened = far.open(&mut held, &mut |pieces| seen.extend(pieces.concat())).unwrap();
            held.drain(..opened.consumed);
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(held.is_empty() && seen == data);
    }
}
