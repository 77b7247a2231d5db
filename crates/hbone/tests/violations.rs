//! What breaks HTTP/2 and what does not, frame by frame: each engine, in each role, answers as RFC 9113 says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/engines.rs"]
mod engines;
#[path = "support/raw.rs"]
mod raw;
#[path = "support/side.rs"]
mod side;
#[path = "support/transcript.rs"]
mod transcript;
#[path = "support/tunnel.rs"]
mod tunnel;

use std::time::Duration;

use engines::{ENGINES, Engine};
use raw::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RST_STREAM, Raw, SETTINGS,
    WINDOW_UPDATE, frame, headers, reset, send_if_open, settings,
};
use side::{DIALLED, SERVED, client_up_to, server_up_to};
use tokio::time::timeout;

const PRIORITY: u8 = 2;
const PUSH_PROMISE: u8 = 5;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const COMPRESSION_ERROR: u32 = 9;

/// How an engine may answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// GOAWAY with this code, and the end.
    Cut(u32),
    /// RST_STREAM for this stream with this code; the connection goes on.
    Reset(u32, u32),
    /// Nothing; the connection goes on.
    Ignored,
}
use Answer::{Cut, Ignored, Reset};

type Offence = (&'static str, Vec<u8>, &'static [Answer]);

/// Behind the openings: stream 1 is open both ways, 3 has ended both ways, 5 was reset by the peer (the server's) or by us
/// (the client's), and 7 and up are idle.
const SERVER: &str = r#"
    > HEADERS 3 END_HEADERS 020743 4f4e 4e45 4354 010b 3130 2e30 2e30 2e32 3a38 30
    * asked 3 10.0.0.2:80
    * accept 3
    < HEADERS 3 END_HEADERS 88
    > END 3
    * eof 3
    * shut 3
    < END 3
    * drop 3
    > HEADERS 5 END_HEADERS 020743 4f4e 4e45 4354 010b 3130 2e30 2e30 2e32 3a38 30
    * asked 5 10.0.0.2:80
    * accept 5
    < HEADERS 5 END_HEADERS 88
    > RST_STREAM 5 8
    * broken 5
"#;
const CLIENT: &str = r#"
    > HEADERS 3 END_HEADERS 88
    * opened 3
    * shut 3
    < END 3
    > END 3
    * eof 3
    * drop 3
    * open 5 10.0.0.2:80
    < HEADERS 5 END_HEADERS
    * give-up 5
    < RST_STREAM 5 8
"#;

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

/// Offences of either role's peer.
fn anyones() -> Vec<Offence> {
    let all = (1u32 << 31) - 1;
    vec![
        // Section 4.
        (
            "frame above the size allowed",
            frame(DATA, 0, 1, &[0; 64 * 1024 + 1]),
            &[Cut(FRAME_SIZE_ERROR), Reset(1, FRAME_SIZE_ERROR)],
        ),
        (
            "SETTINGS above the size allowed",
            frame(SETTINGS, 0, 0, &[0; 6 * 11_000]),
            &[Cut(FRAME_SIZE_ERROR)],
        ),
        ("unknown frame", frame(0xfa, 0xff, 1, b"whatever"), &[Ignored]),
        ("unknown frame on the connection", frame(0xfa, 0xff, 0, b"whatever"), &[Ignored]),
        ("reserved bit", frame(PING, 0, 1 << 31, b"reserved"), &[Ignored]),
        ("table index out of step", frame(HEADERS, END_HEADERS, 1, &[0xbf]), &[Cut(COMPRESSION_ERROR)]),
        (
            "block that ends in a string",
            frame(HEADERS, END_HEADERS, 1, &[0, 5, b'x']),
            &[Cut(COMPRESSION_ERROR)],
        ),
        // 5.1: idle and closed streams.
        ("DATA on an idle stream", frame(DATA, 0, 7, b"x"), &[Cut(PROTOCOL_ERROR)]),
        ("WINDOW_UPDATE on an idle stream", update(7, 1), &[Cut(PROTOCOL_ERROR)]),
        ("RST_STREAM on an idle stream", reset(7, 0), &[Cut(PROTOCOL_ERROR)]),
        ("WINDOW_UPDATE on a closed stream", update(3, 1), &[Ignored]),
        ("RST_STREAM on a closed stream", reset(3, 0), &[Ignored, Cut(STREAM_CLOSED)]),
        // The number of a stream that is gone may have been forgotten.
        (
            "DATA on a closed stream",
            frame(DATA, 0, 3, b"x"),
            &[Cut(STREAM_CLOSED), Reset(3, STREAM_CLOSED), Ignored],
        ),
        (
            "DATA behind the end",
            [frame(DATA, END_STREAM, 1, b""), frame(DATA, 0, 1, b"x")].concat(),
            &[Cut(STREAM_CLOSED), Reset(1, STREAM_CLOSED)],
        ),
        (
            "DATA behind a reset",
            [reset(1, 8), frame(DATA, 0, 1, b"x")].concat(),
            &[Cut(STREAM_CLOSED), Reset(1, STREAM_CLOSED)],
        ),
        // 6.1.
        ("DATA on stream 0", frame(DATA, 0, 0, b"x"), &[Cut(PROTOCOL_ERROR)]),
        ("padding", frame(DATA, PADDED, 1, &[3, b'x', 0, 0, 0]), &[Ignored]),
        ("padding alone", frame(DATA, PADDED, 1, &[3, 0, 0, 0]), &[Ignored]),
        ("padding above the payload", frame(DATA, PADDED, 1, &[4, 0, 0, 0]), &[Cut(PROTOCOL_ERROR)]),
        (
            "padding without its length",
            frame(DATA, PADDED, 1, &[]),
            &[Cut(FRAME_SIZE_ERROR), Cut(PROTOCOL_ERROR)],
        ),
        // 6.2.
        ("HEADERS on stream 0", headers(0, 0, &[(":status", "200")]), &[Cut(PROTOCOL_ERROR)]),
        (
            "padding above the block",
            frame(HEADERS, END_HEADERS | PADDED, 1, &[9, 0x88]),
            &[Cut(PROTOCOL_ERROR)],
        ),
        (
            "HEADERS too short for their priority",
            frame(HEADERS, END_HEADERS | WITH_PRIORITY, 1, &[0, 0, 0]),
            &[Cut(FRAME_SIZE_ERROR), Cut(PROTOCOL_ERROR)],
        ),
        // 6.3.
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), &[Ignored]),
        ("PRIORITY of an idle stream", frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 1]), &[Ignored]),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0, 0, 0, 1, 1]), &[Cut(PROTOCOL_ERROR)]),
        (
            "PRIORITY of another size",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 1]),
            &[Reset(1, FRAME_SIZE_ERROR), Cut(FRAME_SIZE_ERROR)],
        ),
        // 6.4.
        ("RST_STREAM on stream 0", reset(0, 0), &[Cut(PROTOCOL_ERROR)]),
        ("RST_STREAM of another size", frame(RST_STREAM, 0, 1, &[0; 3]), &[Cut(FRAME_SIZE_ERROR)]),
        // 6.5.
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[]), &[Cut(PROTOCOL_ERROR)]),
        ("SETTINGS of another size", frame(SETTINGS, 0, 0, &[0; 5]), &[Cut(FRAME_SIZE_ERROR)]),
        ("ACK with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), &[Cut(FRAME_SIZE_ERROR)]),
        ("ACK that nobody waits for", frame(SETTINGS, ACK, 0, &[]), &[Ignored, Cut(PROTOCOL_ERROR)]),
        ("unknown setting", settings(&[(0xfafa, 7), (8, 0)]), &[Ignored]),
        ("a setting twice", settings(&[(4, 100), (4, 200)]), &[Ignored]),
        ("ENABLE_PUSH of 2", settings(&[(2, 2)]), &[Cut(PROTOCOL_ERROR)]),
        ("INITIAL_WINDOW_SIZE too large", settings(&[(4, 1 << 31)]), &[Cut(FLOW_CONTROL_ERROR)]),
        ("MAX_FRAME_SIZE too small", settings(&[(5, 16_383)]), &[Cut(PROTOCOL_ERROR)]),
        ("MAX_FRAME_SIZE too large", settings(&[(5, 1 << 24)]), &[Cut(PROTOCOL_ERROR)]),
        (
            "INITIAL_WINDOW_SIZE that lifts a stream's window too far",
            [update(1, all - 65_535), settings(&[(4, 65_536)])].concat(),
            &[Cut(FLOW_CONTROL_ERROR)],
        ),
        // 6.7.
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), &[Cut(PROTOCOL_ERROR)]),
        ("PING of another size", frame(PING, 0, 0, &[0; 7]), &[Cut(FRAME_SIZE_ERROR)]),
        ("an answer to no PING", frame(PING, ACK, 0, b"no asked"), &[Ignored]),
        // 6.8.
        ("GOAWAY on a stream", frame(GOAWAY, 0, 1, &[0; 8]), &[Cut(PROTOCOL_ERROR)]),
        ("GOAWAY of another size", frame(GOAWAY, 0, 0, &[0; 7]), &[Cut(FRAME_SIZE_ERROR)]),
        // 6.9.
        ("WINDOW_UPDATE of another size", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), &[Cut(FRAME_SIZE_ERROR)]),
        ("WINDOW_UPDATE by 0", update(0, 0), &[Cut(PROTOCOL_ERROR)]),
        ("a stream's WINDOW_UPDATE by 0", update(1, 0), &[Reset(1, PROTOCOL_ERROR), Cut(PROTOCOL_ERROR)]),
        (
            "the connection's window too far",
            [update(0, all), update(0, all)].concat(),
            &[Cut(FLOW_CONTROL_ERROR)],
        ),
        (
            "a stream's window too far",
            [update(1, all), update(1, all)].concat(),
            &[Reset(1, FLOW_CONTROL_ERROR)],
        ),
        (
            "DATA beyond a stream's window",
            [frame(DATA, 0, 1, &[0; 60_000]).repeat(4), frame(DATA, 0, 1, &[0; 30_000])].concat(),
            &[Reset(1, FLOW_CONTROL_ERROR), Cut(FLOW_CONTROL_ERROR)],
        ),
        // 6.10.
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &[0x88]), &[Cut(PROTOCOL_ERROR)]),
        (
            "CONTINUATION of another stream",
            [frame(HEADERS, 0, 1, &[0x88]), frame(CONTINUATION, END_HEADERS, 3, &[])].concat(),
            &[Cut(PROTOCOL_ERROR)],
        ),
        (
            "something between HEADERS and CONTINUATION",
            [frame(HEADERS, 0, 1, &[0x88]), frame(PING, 0, 0, &[0; 8])].concat(),
            &[Cut(PROTOCOL_ERROR)],
        ),
        (
            "an unknown frame between HEADERS and CONTINUATION",
            [frame(HEADERS, 0, 1, &[0x88]), frame(0xfa, 0, 0, &[])].concat(),
            &[Cut(PROTOCOL_ERROR)],
        ),
        // 8.5: a tunnelled stream knows DATA only. What ends it in order may be taken as its end.
        (
            "HEADERS in the middle of a tunnelled stream",
            headers(1, 0, &[("x", "y")]),
            &[Reset(1, PROTOCOL_ERROR), Cut(PROTOCOL_ERROR)],
        ),
        (
            "trailers behind a tunnelled stream",
            headers(1, END_STREAM, &[("x", "y")]),
            &[Ignored, Reset(1, PROTOCOL_ERROR)],
        ),
    ]
}

fn a_clients() -> Vec<Offence> {
    let ask = |stream| raw::connect(stream, "10.0.0.2:80");
    vec![
        ("a stream of the server's number", ask(2), &[Cut(PROTOCOL_ERROR)]),
        (
            "a stream below the last",
            [ask(9), ask(7)].concat(),
            &[Cut(PROTOCOL_ERROR), Cut(STREAM_CLOSED), Reset(7, STREAM_CLOSED)],
        ),
        (
            "HEADERS on a closed stream",
            ask(3),
            &[Cut(STREAM_CLOSED), Cut(PROTOCOL_ERROR), Reset(3, STREAM_CLOSED)],
        ),
        ("PUSH_PROMISE", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]), &[Cut(PROTOCOL_ERROR)]),
        (
            "a block in pieces",
            {
                let block = raw::fields(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
                let (start, end) = block.split_at(10);
                let pieces = [
                    frame(HEADERS, 0, 7, start),
                    frame(CONTINUATION, 0, 7, &[]),
                    frame(CONTINUATION, END_HEADERS, 7, end),
                ];
                pieces.concat()
            },
            &[Ignored],
        ),
        (
            "a block with padding and priority",
            {
                let block = raw::fields(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
                let payload = [&[2, 0x80, 0, 0, 1, 7][..], &block, &[0, 0]].concat();
                frame(HEADERS, END_HEADERS | PADDED | WITH_PRIORITY, 7, &payload)
            },
            &[Ignored],
        ),
        ("GOAWAY", raw::goaway(0, 0), &[Ignored]),
    ]
}

fn a_servers() -> Vec<Offence> {
    vec![
        ("HEADERS on a stream nobody opened", headers(7, 0, &[(":status", "200")]), &[Cut(PROTOCOL_ERROR)]),
        ("HEADERS on a stream of its own", headers(2, 0, &[(":status", "200")]), &[Cut(PROTOCOL_ERROR)]),
        (
            "PUSH_PROMISE although it is off",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2, 0x82]),
            &[Cut(PROTOCOL_ERROR)],
        ),
        ("an answer to what was taken back", frame(HEADERS, END_HEADERS, 5, &[0x88]), &[Ignored]),
        ("DATA of what was taken back", frame(DATA, 0, 5, b"late"), &[Ignored]),
        (
            "a second answer",
            frame(HEADERS, END_HEADERS, 1, &[0x88]),
            &[Reset(1, PROTOCOL_ERROR), Cut(PROTOCOL_ERROR)],
        ),
    ]
}

/// What came back.
#[derive(Debug, Default)]
struct Seen {
    goaway: Option<u32>,
    resets: Vec<(u32, u32)>,
    alive: bool,
}

/// Sends the frames, then asks twice whether the connection is alive: an answer to PING may overtake a reset.
async fn commit(raw: &mut Raw, bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    for bytes in [bytes, &[]] {
        let (mut read, mut write) = tokio::io::split(&mut raw.io);
        let all = [bytes, &frame(PING, 0, 0, b"alive???")].concat();
        let sending = async { send_if_open(&mut write, &all).await };
        tokio::join!(sending, seen.read(&mut read));
    }
    seen
}

impl Seen {
    /// Until the answer to PING, or the end.
    async fn read(&mut self, io: &mut (impl tokio::io::AsyncRead + Unpin)) {
        self.alive = false;
        while let Some(frame) = raw::read_frame(io).await {
            match frame.kind {
                GOAWAY => self.goaway = Some(frame.word(4)),
                RST_STREAM => self.resets.push((frame.stream, frame.word(0))),
                PING if frame.flags == ACK && frame.payload == b"alive???" => {
                    self.alive = true;
                    return;
                }
                _ => {}
            }
        }
    }
}

/// What is wrong with an answer.
fn judge(engine: Engine, offence: &Offence, seen: &Seen) -> Option<String> {
    let own = engine != Engine::Library;
    let fits = |answer: &Answer| match *answer {
        Cut(code) => {
            !seen.alive && seen.goaway.is_some_and(|seen| if own { seen == code } else { seen != 0 })
        }
        Reset(stream, code) => {
            let same = |reset: &(u32, u32)| reset.0 == stream && (!own || reset.1 == code);
            seen.alive && seen.goaway.is_none() && seen.resets.iter().any(same)
        }
        Ignored => seen.alive && seen.goaway.is_none() && seen.resets.is_empty(),
    };
    let fitting = offence.2.iter().any(fits);
    (!fitting).then(|| format!("{engine:?}: {}: {seen:?} instead of {:?}\n", offence.0, offence.2))
}

async fn wrong_answer(engine: Engine, offence: &Offence, raw: &mut Raw) -> Option<String> {
    match timeout(Duration::from_secs(4), commit(raw, &offence.1)).await {
        Ok(seen) => judge(engine, offence, &seen),
        Err(_) => Some(format!("{engine:?}: {}: silence\n", offence.0)),
    }
}

#[tokio::test(start_paused = true)]
async fn the_servers_answers() {
    let mut wrong = String::new();
    for engine in ENGINES {
        for offence in anyones().into_iter().chain(a_clients()) {
            let (mut raw, _side) = server_up_to(engine, &format!("{SERVED}{SERVER}")).await;
            wrong.extend(wrong_answer(engine, &offence, &mut raw).await);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test(start_paused = true)]
async fn the_clients_answers() {
    let mut wrong = String::new();
    for engine in ENGINES {
        for offence in anyones().into_iter().chain(a_servers()) {
            let (mut raw, _side) = client_up_to(engine, &format!("{DIALLED}{CLIENT}")).await;
            wrong.extend(wrong_answer(engine, &offence, &mut raw).await);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
