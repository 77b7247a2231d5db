//! What the peer may not do, and what becomes of it: the connection, the stream, or nothing.

use super::{LIMITS, Said, answered, block, bytes_of, connect, feed, frames, hear, started};
use crate::engine::frame::{Code, FIRST_WINDOW, LARGEST, PREFACE, flag, kind};
use crate::engine::machine::{By, Machine, Role};

/// The code of the GOAWAY that this ends the connection with.
fn fault(machine: &mut Machine, bytes: &[u8]) -> Code {
    let (_, result) = feed(machine, &[bytes]);
    let code = result.expect_err("it was accepted").code;
    let last = frames(machine.output()).pop().unwrap();
    assert_eq!((last.0, &last.3[4..8]), (kind::GOAWAY, &code.0.to_be_bytes()[..]));
    let (said, result) = feed(machine, &[&connect(99)]);
    assert_eq!((said, result), (vec![], Ok(())), "after its end, a connection hears nothing");
    code
}

/// The RST_STREAMs that this makes the machine send.
fn resets(machine: &mut Machine, bytes: &[u8]) -> Vec<(u32, Code)> {
    let (_, result) = feed(machine, &[bytes]);
    assert_eq!(result, Ok(()));
    let code = |payload: &[u8]| Code(u32::from_be_bytes(payload.try_into().unwrap()));
    let out = std::mem::take(machine.output());
    frames(&out)
        .into_iter()
        .filter(|frame| frame.0 == kind::RST_STREAM)
        .map(|frame| (frame.2, code(&frame.3)))
        .collect()
}

#[test]
fn frames_out_of_place_end_the_connection() {
    let wrong: &[(Code, Vec<u8>)] = &[
        (Code::PROTOCOL_ERROR, bytes_of(kind::DATA, 0, 0, b"x")),
        (Code::PROTOCOL_ERROR, bytes_of(kind::DATA, 0, 5, b"x")),
        (Code::PROTOCOL_ERROR, bytes_of(kind::DATA, flag::PADDED, 1, &[5, 0, 0])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::DATA, flag::PADDED, 1, &[])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::DATA, 0, 1, &[0; 32_769])),
        (
            Code::PROTOCOL_ERROR,
            bytes_of(kind::HEADERS, flag::END_HEADERS, 0, &block(&[(":method", "CONNECT")])),
        ),
        (Code::PROTOCOL_ERROR, connect(2)),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 3, &[0; 4])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::HEADERS, flag::END_HEADERS | flag::PADDED, 3, &[9, 0])),
        (Code::COMPRESSION_ERROR, bytes_of(kind::HEADERS, flag::END_HEADERS, 3, &[0xff; 8])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::CONTINUATION, flag::END_HEADERS, 3, &[])),
        (
            Code::PROTOCOL_ERROR,
            [bytes_of(kind::HEADERS, 0, 3, &[]), bytes_of(kind::PING, 0, 0, &[0; 8])].concat(),
        ),
        (
            Code::PROTOCOL_ERROR,
            [bytes_of(kind::HEADERS, 0, 3, &[]), bytes_of(kind::CONTINUATION, 4, 5, &[])].concat(),
        ),
        (Code::PROTOCOL_ERROR, bytes_of(kind::PRIORITY, 0, 0, &[0; 5])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::RST_STREAM, 0, 0, &[0; 4])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::RST_STREAM, 0, 7, &[0; 4])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::RST_STREAM, 0, 1, &[0; 5])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::SETTINGS, 0, 1, &[])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::SETTINGS, 0, 0, &[0; 5])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::SETTINGS, flag::ACK, 0, &[0; 6])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 2])),
        (Code::FLOW_CONTROL_ERROR, bytes_of(kind::SETTINGS, 0, 0, &[0, 4, 0x80, 0, 0, 0])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::SETTINGS, 0, 0, &[0, 5, 0, 0, 0x3f, 0xff])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::SETTINGS, 0, 0, &[0, 5, 1, 0, 0, 0])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::PUSH_PROMISE, flag::END_HEADERS, 1, &[0; 4])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::PING, 0, 1, &[0; 8])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::PING, 0, 0, &[0; 7])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::GOAWAY, 0, 1, &[0; 8])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::GOAWAY, 0, 0, &[0; 7])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::WINDOW_UPDATE, 0, 0, &[0; 4])),
        (Code::FRAME_SIZE_ERROR, bytes_of(kind::WINDOW_UPDATE, 0, 0, &[0; 3])),
        (Code::PROTOCOL_ERROR, bytes_of(kind::WINDOW_UPDATE, 0, 9, &[0, 0, 0, 1])),
        (Code::FLOW_CONTROL_ERROR, bytes_of(kind::WINDOW_UPDATE, 0, 0, &LARGEST.to_be_bytes())),
    ];
    for (code, bytes) in wrong {
        let mut machine = started(Role::Server);
        hear(&mut machine, &[&connect(1)]);
        assert_eq!(fault(&mut machine, bytes), *code, "{bytes:?}");
    }
}

#[test]
fn the_first_words_must_be_right() {
    let mut machine = Machine::new(Role::Server, LIMITS);
    assert_eq!(fault(&mut machine, b"GET / HTTP/1.1\r\n"), Code::PROTOCOL_ERROR);
    let mut machine = Machine::new(Role::Server, LIMITS);
    let early = [PREFACE, &bytes_of(kind::PING, 0, 0, &[0; 8])].concat();
    assert_eq!(fault(&mut machine, &early), Code::PROTOCOL_ERROR);
    let mut machine = Machine::new(Role::Client, LIMITS);
    machine.output().clear();
    assert_eq!(fault(&mut machine, &bytes_of(kind::SETTINGS, flag::ACK, 0, &[])), Code::PROTOCOL_ERROR);
}

#[test]
fn one_streams_fault_is_that_streams() {
    let reset = |bytes: Vec<u8>| {
        let mut machine = started(Role::Server);
        hear(&mut machine, &[&connect(1)]);
        resets(&mut machine, &bytes)
    };
    assert_eq!(reset(bytes_of(kind::WINDOW_UPDATE, 0, 1, &[0; 4])), [(1, Code::PROTOCOL_ERROR)]);
    assert_eq!(
        reset(bytes_of(kind::WINDOW_UPDATE, 0, 1, &LARGEST.to_be_bytes())),
        [(1, Code::FLOW_CONTROL_ERROR)]
    );
    assert_eq!(reset(bytes_of(kind::PRIORITY, 0, 1, &[0; 4])), [(1, Code::FRAME_SIZE_ERROR)]);
    let end = bytes_of(kind::DATA, flag::END_STREAM, 1, b"");
    let after = [end.clone(), bytes_of(kind::DATA, 0, 1, b"more")].concat();
    assert_eq!(reset(after), [(1, Code::STREAM_CLOSED)]);
    let trailers = bytes_of(kind::HEADERS, flag::END_HEADERS, 1, &block(&[("x", "y")]));
    assert_eq!(reset(trailers), [(1, Code::PROTOCOL_ERROR)]);
    let malformed =
        bytes_of(kind::HEADERS, flag::END_HEADERS, 3, &block(&[(":method", "CONNECT"), ("te", "x")]));
    assert_eq!(reset(malformed), [(3, Code::PROTOCOL_ERROR)]);
}

#[test]
fn harmless_frames_are_ignored() {
    let mut machine = started(Role::Server);
    let frames = [
        bytes_of(0xfa, 0xff, 0xffff, b"a frame nobody knows"),
        bytes_of(kind::PRIORITY, 0, 9, &[0; 5]),
        bytes_of(kind::PING, flag::ACK, 0, &[1; 8]),
        bytes_of(kind::SETTINGS, 0, 0, &[0xff, 0xff, 0, 0, 0, 1]),
    ];
    let (said, result) = feed(&mut machine, &[&frames.concat()]);
    assert_eq!((said, result), (vec![], Ok(())));
}

#[test]
fn a_stream_that_we_reset_may_have_frames_under_way() {
    let mut machine = started(Role::Server);
    hear(&mut machine, &[&connect(1)]);
    machine.reset(1, Code::CANCEL);
    machine.output().clear();
    let late = [
        bytes_of(kind::DATA, 0, 1, b"late"),
        bytes_of(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        bytes_of(kind::HEADERS, 5, 1, &block(&[("x", "y")])),
        bytes_of(kind::RST_STREAM, 0, 1, &[0; 4]),
    ];
    assert_eq!(feed(&mut machine, &[&late.concat()]), (vec![], Ok(())));
    assert!(machine.output().is_empty());
}

#[test]
fn windows_are_enforced_and_streams_keep_to_their_own() {
    let mut machine = started(Role::Server);
    hear(&mut machine, &[&connect(1), &connect(3)]);
    let piece = bytes_of(kind::DATA, 0, 1, &[7; 25_000]);
    for _ in 0..4 {
        assert_eq!(resets(&mut machine, &piece), []);
    }
    assert_eq!(resets(&mut machine, &piece), [(1, Code::FLOW_CONTROL_ERROR)]);
    // What nobody will read of it no longer counts; the rest of the connection's window is the other stream's.
    let other = bytes_of(kind::DATA, 0, 3, &[7; 25_000]);
    for _ in 0..3 {
        assert_eq!(resets(&mut machine, &other), []);
    }
    assert_eq!(fault(&mut machine, &other), Code::FLOW_CONTROL_ERROR);
}

#[test]
fn padding_is_not_kept() {
    let mut machine = started(Role::Server);
    hear(&mut machine, &[&connect(1)]);
    let mut payload = vec![200];
    payload.extend(b"content");
    payload.extend([0; 200]);
    let padded = bytes_of(kind::DATA, flag::PADDED, 1, &payload);
    for _ in 0..1_000 {
        let (said, result) = feed(&mut machine, &[&padded]);
        assert_eq!((said, result), (vec![Said::Data(1, b"content".to_vec())], Ok(())));
        machine.consumed(1, 7);
    }
}

#[test]
fn a_changed_initial_window_moves_open_streams_and_may_go_below_zero() {
    let (mut machine, stream) = answered();
    machine.data(stream, 60_000);
    let lower = bytes_of(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 100]);
    assert_eq!(feed(&mut machine, &[&lower]), (vec![], Ok(())));
    assert_eq!(machine.room(stream).unwrap().bytes, 0);
    let increment = (60_000u32 - 100 + 1).to_be_bytes();
    let update = bytes_of(kind::WINDOW_UPDATE, 0, stream, &increment);
    assert_eq!(feed(&mut machine, &[&update]).0, [Said::Room(Some(stream))]);
    assert_eq!(machine.room(stream).unwrap().bytes, 1);
    let higher = bytes_of(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 200]);
    assert_eq!(feed(&mut machine, &[&higher]).0, [Said::Wider]);
    assert_eq!(machine.room(stream).unwrap().bytes, 101);
    // The connection's own window is not concerned.
    let most = bytes_of(kind::SETTINGS, 0, 0, &[0, 4, 0x7f, 0, 0, 0]);
    hear(&mut machine, &[&most]);
    assert_eq!(machine.room(stream).unwrap().bytes, FIRST_WINDOW as usize - 60_000);
}

#[test]
fn interim_answers_are_skipped_within_reason() {
    let mut machine = started(Role::Client);
    let stream = machine.request(|field| field(b":method", b"CONNECT")).unwrap();
    machine.output().clear();
    let interim = bytes_of(kind::HEADERS, flag::END_HEADERS, stream, &block(&[(":status", "103")]));
    for _ in 0..16 {
        assert_eq!(feed(&mut machine, &[&interim]), (vec![], Ok(())));
    }
    assert_eq!(resets(&mut machine, &interim), [(stream, Code::ENHANCE_YOUR_CALM)]);
}

#[test]
fn bytes_before_the_answer_are_a_fault() {
    let mut machine = started(Role::Client);
    let stream = machine.request(|field| field(b":method", b"CONNECT")).unwrap();
    machine.output().clear();
    assert_eq!(
        resets(&mut machine, &bytes_of(kind::DATA, 0, stream, b"x")),
        [(stream, Code::PROTOCOL_ERROR)]
    );
}

#[test]
fn a_goaway_fails_what_is_above_it_and_nothing_else() {
    let (mut machine, stream) = answered();
    let above = machine.request(|field| field(b":method", b"CONNECT")).unwrap();
    let goaway = bytes_of(kind::GOAWAY, 0, 0, &[[0, 0, 0, 1], [0, 0, 0, 2]].concat());
    let (said, result) = feed(&mut machine, &[&goaway]);
    assert_eq!(
        (said, result),
        (vec![Said::GoAway(Code(2)), Said::Reset(above, Code(2), By::GoAway)], Ok(()))
    );
    assert!(machine.room(stream).is_some());
    let more = bytes_of(kind::GOAWAY, 0, 0, &[[0, 0, 0, 3], [0, 0, 0, 0]].concat());
    assert_eq!(fault(&mut machine, &more), Code::PROTOCOL_ERROR);
}

#[test]
fn a_smaller_header_table_is_followed() {
    let (mut machine, _) = answered();
    hear(&mut machine, &[&bytes_of(kind::SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0])]);
    machine.output().clear();
    for first in [0x20, 0x02] {
        machine.request(|field| field(b":method", b"CONNECT")).unwrap();
        let out = std::mem::take(machine.output());
        assert_eq!(frames(&out)[0].3[0] & 0xe0, first & 0xe0);
    }
}

#[test]
fn a_list_that_is_too_large_is_answered_and_the_connection_goes_on() {
    let mut machine = started(Role::Server);
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("x", "y"), 600).collect();
    let large = bytes_of(kind::HEADERS, flag::END_HEADERS, 1, &block(&many));
    assert_eq!(feed(&mut machine, &[&large]), (vec![], Ok(())));
    let out = std::mem::take(machine.output());
    let kinds: Vec<u8> = frames(&out).iter().map(|frame| frame.0).collect();
    assert_eq!(kinds, [kind::HEADERS, kind::RST_STREAM]);
    assert_eq!(feed(&mut machine, &[&connect(3)]).0, [Said::Request(3, "10.0.0.2:80".into())]);
}

#[test]
fn r1_requests_taken_back_unseen_are_bounded() {
    let mut machine = started(Role::Server);
    let pairs = (0..).map(|number| {
        let stream = number * 2 + 1;
        [connect(stream), bytes_of(kind::RST_STREAM, 0, stream, &Code::CANCEL.0.to_be_bytes())].concat()
    });
    let calm = pairs.take(1_000).find_map(|pair| feed(&mut machine, &[&pair]).1.err());
    assert_eq!(calm.unwrap().code, Code::ENHANCE_YOUR_CALM);
}

#[test]
fn r6_frames_that_only_control_are_bounded() {
    for flood in [
        bytes_of(kind::PING, 0, 0, &[0; 8]),
        bytes_of(kind::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]),
        bytes_of(kind::PRIORITY, 0, 1, &[0; 5]),
        bytes_of(0x42, 0, 0, &[]),
    ] {
        let mut machine = started(Role::Server);
        let calm = (0..100_000).find_map(|_| {
            machine.output().clear();
            feed(&mut machine, &[&flood]).1.err()
        });
        assert_eq!(calm.unwrap().code, Code::ENHANCE_YOUR_CALM);
    }
}

#[test]
fn answers_that_are_not_read_stop_the_reading() {
    let mut machine = started(Role::Server);
    let ping = bytes_of(kind::PING, 0, 0, &[0; 8]);
    let turns = (0..10_000).take_while(|_| {
        hear(&mut machine, &[&ping]);
        !machine.overdue()
    });
    assert!(turns.count() < 1_000);
    machine.sent();
    assert!(!machine.overdue());
}
