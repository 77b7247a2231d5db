//! A client and a server machine that talk to each other, whatever the pieces.

use proptest::prelude::*;

use super::{LIMITS, Said, feed, frames, hear};
use crate::engine::frame::{Code, kind};
use crate::engine::machine::{By, Limits, Machine, Role};

struct Pair {
    client: Machine,
    server: Machine,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        let mut pair =
            Self { client: Machine::new(Role::Client, limits), server: Machine::new(Role::Server, limits) };
        assert_eq!(pair.pump(), (vec![Said::Settled], vec![Said::Settled]));
        pair
    }

    /// Carries everything both ways until both are silent: what the client and the server said.
    fn pump(&mut self) -> (Vec<Said>, Vec<Said>) {
        let mut said = (Vec::new(), Vec::new());
        loop {
            let up = std::mem::take(self.client.output());
            let down = std::mem::take(self.server.output());
            if up.is_empty() && down.is_empty() {
                let quiet = |said: Vec<Said>| {
                    said.into_iter().filter(|one| !matches!(one, Said::Room(_) | Said::Wider)).collect()
                };
                return (quiet(said.0), quiet(said.1));
            }
            let (more, result) = feed(&mut self.server, &[&up]);
            assert_eq!(result, Ok(()));
            said.1.extend(more);
            let (more, result) = feed(&mut self.client, &[&down]);
            assert_eq!(result, Ok(()));
            said.0.extend(more);
        }
    }

    fn open(&mut self) -> u32 {
        let stream = self.client.request(|field| {
            field(b":method", b"CONNECT");
            field(b":authority", b"10.0.0.2:80");
        });
        let stream = stream.unwrap();
        assert_eq!(self.pump().1, [Said::Request(stream, "10.0.0.2:80".into())]);
        self.server.take(stream);
        assert!(self.server.respond(stream, false, |field| field(b":status", b"200")));
        assert_eq!(self.pump().0, [Said::Answer(stream, 200)]);
        stream
    }
}

fn send(machine: &mut Machine, stream: u32, bytes: &[u8]) -> usize {
    let room = machine.room(stream).unwrap();
    let count = bytes.len().min(room.bytes).min(room.frame);
    let head = machine.data(stream, count);
    machine.output().extend_from_slice(&head);
    machine.output().extend_from_slice(&bytes[..count]);
    count
}

#[test]
fn a_stream_from_open_to_both_ends() {
    let mut pair = Pair::new(LIMITS);
    let stream = pair.open();
    assert_eq!(send(&mut pair.client, stream, b"question"), 8);
    assert!(pair.client.end(stream));
    assert_eq!(pair.pump().1, [Said::Data(stream, b"question".to_vec()), Said::End(stream)]);
    assert_eq!(send(&mut pair.server, stream, b"answer"), 6);
    assert!(pair.server.end(stream));
    assert_eq!(pair.pump().0, [Said::Data(stream, b"answer".to_vec()), Said::End(stream)]);
    assert!(pair.client.is_empty() && pair.server.is_empty());
    assert_eq!(pair.client.room(stream), None);
}

#[test]
fn the_peers_window_bounds_what_is_sent_and_opens_again() {
    let mut pair = Pair::new(LIMITS);
    let stream = pair.open();
    let mut sent = 0;
    while pair.client.room(stream).unwrap().bytes > 0 {
        sent += send(&mut pair.client, stream, &[1; 50_000]);
        pair.pump();
    }
    assert_eq!(sent, 100_000);
    assert!(!pair.server.consumed(stream, 49_999));
    assert!(pair.server.consumed(stream, 1));
    pair.pump();
    assert_eq!(pair.client.room(stream).unwrap().bytes, 50_000);
}

#[test]
fn resets_reach_the_other_end_and_both_forget() {
    let mut pair = Pair::new(LIMITS);
    let stream = pair.open();
    send(&mut pair.server, stream, b"crossing");
    assert!(pair.client.reset(stream, Code::CANCEL));
    assert!(!pair.client.reset(stream, Code::CANCEL));
    let (client, server) = pair.pump();
    assert_eq!(client, []);
    assert_eq!(server, [Said::Reset(stream, Code::CANCEL, By::Peer)]);
    assert!(pair.client.is_empty() && pair.server.is_empty());
}

#[test]
fn a_drain_lets_what_is_under_way_come() {
    let mut pair = Pair::new(LIMITS);
    let stream = pair.open();
    // A request crosses the first GOAWAY.
    pair.server.drain();
    let late = pair.client.request(|field| field(b":method", b"CONNECT")).unwrap();
    let (client, server) = pair.pump();
    assert_eq!(client, [Said::GoAway(Code::NO_ERROR)]);
    assert_eq!(server, [Said::Request(late, String::new())]);
    assert!(pair.client.request(|_| ()).is_err());
    assert!(pair.server.heard() && !pair.server.conclude());
    for stream in [stream, late] {
        pair.server.respond(stream, false, |field| field(b":status", b"200"));
        pair.client.end(stream);
        pair.server.end(stream);
    }
    assert_eq!(pair.pump().0, [Said::End(stream), Said::Answer(late, 200), Said::End(late)]);
    assert!(!pair.server.drained());
    assert!(pair.server.conclude() && pair.server.drained());
    assert_eq!(pair.pump().0, [Said::GoAway(Code::NO_ERROR)]);
}

#[test]
fn a_large_block_is_split_where_the_peers_frames_are_small() {
    let limits = Limits { header_list: 60_000, ..LIMITS };
    let mut client = Machine::new(Role::Client, limits);
    let mut server = Machine::new(Role::Server, Limits { max_frame: 16_384, ..limits });
    client.output().clear();
    let mut first = crate::engine::frame::PREFACE.to_vec();
    first.extend(super::bytes_of(kind::SETTINGS, 0, 0, &[]));
    hear(&mut server, &[&first]);
    hear(&mut client, &[&std::mem::take(server.output())]);
    client.output().clear();
    let value = vec![b'x'; 40_000];
    let request = client.request(|field| {
        field(b":method", b"CONNECT");
        field(b"baggage", &value);
    });
    assert!(request.is_ok());
    let out = std::mem::take(client.output());
    let kinds: Vec<u8> = frames(&out).iter().map(|frame| frame.0).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::CONTINUATION, kind::CONTINUATION]);
    assert!(matches!(feed(&mut server, &[&out]).0[..], [Said::Request(1, _)]));
}

proptest! {
    #[test]
    fn every_byte_arrives_in_order_within_the_windows(
        steps in prop::collection::vec((0usize..4, 0usize..3, 0usize..40_000), 1..120)
    ) {
        let mut pair = Pair::new(LIMITS);
        let streams: Vec<u32> = (0..3).map(|_| pair.open()).collect();
        let mut sent = vec![Vec::new(); 3];
        let mut received = vec![Vec::new(); 3];
        let mut unread = [0usize; 3];
        let mut next = 0u8;
        for (action, at, count) in steps {
            if action < 3 {
                let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                let taken = send(&mut pair.client, streams[at], &bytes);
                sent[at].extend_from_slice(&bytes[..taken]);
            } else {
                pair.server.consumed(streams[at], std::mem::take(&mut unread[at]));
            }
            for said in pair.pump().1 {
                let Said::Data(stream, bytes) = said else { panic!("{said:?}") };
                let at = streams.iter().position(|one| *one == stream).unwrap();
                unread[at] += bytes.len();
                received[at].extend(bytes);
            }
            prop_assert!(unread.iter().all(|unread| *unread <= LIMITS.stream_window as usize));
            prop_assert!(unread.iter().sum::<usize>() <= LIMITS.connection_window as usize);
        }
        prop_assert_eq!(sent, received);
    }
}
