//! The state machine against frames written by hand.

mod any;
mod pair;
mod rules;

use super::{By, Event, Fault, Limits, Machine, Role};
use crate::engine::frame::{self, Code, PREFACE, kind};
use crate::engine::hpack;

const LIMITS: Limits = Limits {
    stream_window: 100_000,
    connection_window: 200_000,
    max_frame: 32_768,
    header_list: 16_384,
    max_streams: 5,
    early_bytes: false,
};

/// What a machine said of what it received; DATA is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Settled,
    Request(u32, String),
    Answer(u32, u16),
    Data(u32, Vec<u8>),
    End(u32),
    Reset(u32, Code, By),
    Room(Option<u32>),
    Wider,
    GoAway(Code),
}

/// Gives the machine these pieces one after the other.
fn feed(machine: &mut Machine, pieces: &[&[u8]]) -> (Vec<Said>, Result<(), Fault>) {
    let mut said = Vec::new();
    for piece in pieces {
        let result = machine.receive(&[piece], &mut |event| match event {
            Event::Data { stream, bytes } => match said.last_mut() {
                Some(Said::Data(last, all)) if *last == stream => all.extend_from_slice(bytes),
                _ => said.push(Said::Data(stream, bytes.to_vec())),
            },
            Event::Settled => said.push(Said::Settled),
            Event::Request { stream, message } => {
                said.push(Said::Request(stream, message.authority.unwrap_or_default().into()));
            }
            Event::Answer { stream, message } => said.push(Said::Answer(stream, message.status)),
            Event::End { stream } => said.push(Said::End(stream)),
            Event::Reset { stream, code, by } => said.push(Said::Reset(stream, code, by)),
            Event::Room { stream } => said.push(Said::Room(stream)),
            Event::Wider => said.push(Said::Wider),
            Event::GoAway { code } => said.push(Said::GoAway(code)),
        });
        if result.is_err() {
            return (said, result);
        }
    }
    (said, Ok(()))
}

/// The same where only what it does to the machine counts.
fn hear(machine: &mut Machine, pieces: &[&[u8]]) {
    assert_eq!(feed(machine, pieces).1, Ok(()));
}

fn bytes_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::append(&mut bytes, kind, flags, stream, payload);
    bytes
}

fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        hpack::encode(&mut out, name.as_bytes(), value.as_bytes());
    }
    out
}

fn connect(stream: u32) -> Vec<u8> {
    let fields = block(&[(":method", "CONNECT"), (":authority", "10.0.0.2:80")]);
    bytes_of(kind::HEADERS, frame::flag::END_HEADERS, stream, &fields)
}

/// A machine that has read the peer's first words, whose own first words are out of the way.
fn started(role: Role) -> Machine {
    let mut machine = Machine::new(role, LIMITS);
    let settings = bytes_of(kind::SETTINGS, 0, 0, &[]);
    let ack = bytes_of(kind::SETTINGS, frame::flag::ACK, 0, &[]);
    let preface = if role == Role::Server { PREFACE } else { &[] };
    let (said, result) = feed(&mut machine, &[preface, &settings, &ack]);
    assert_eq!((said, result), (vec![Said::Settled], Ok(())));
    machine.output().clear();
    machine.sent();
    machine
}

/// A client with one stream that has been answered.
fn answered() -> (Machine, u32) {
    let mut machine = started(Role::Client);
    let stream = machine.request(|field| field(b":method", b"CONNECT")).unwrap();
    let ok = bytes_of(kind::HEADERS, frame::flag::END_HEADERS, stream, &block(&[(":status", "200")]));
    assert_eq!(feed(&mut machine, &[&ok]).0, [Said::Answer(stream, 200)]);
    machine.output().clear();
    (machine, stream)
}

/// The frames in an output: kind, flags, stream, payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, u8, u32, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk() {
        let head = frame::Head::read(*head);
        let (payload, rest) = rest.split_at(head.length as usize);
        frames.push((head.kind, head.flags, head.stream, payload.to_vec()));
        bytes = rest;
    }
    frames
}
