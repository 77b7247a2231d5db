//! Conversations written down line by line, and played: the peer by hand, our side by the crate.
//!
//! `> FRAME` is sent by the peer, `< FRAME` must come from us, `* ...` is done with our side (see `side.rs`). A frame is
//! its name, its stream (not for those of stream 0) and what is in it, numbers in decimal and octets in hex:
//! `SETTINGS 4=65535`, `HEADERS 1 END_HEADERS 88`, `DATA 1 "text"`, `END 1` (DATA that only ends), `RST_STREAM 1 8`,
//! `GOAWAY 1 0`, `PING of-eight` (and `PINGED`, `PONG` for one of ours), `WINDOW_UPDATE 0 100`, `CLOSED` (the end of the connection, with a farewell or
//! without).
//!
//! Lines `<` that follow each other may come in any order, but for those of one stream. DATA may come in any pieces, a
//! header block may be longer than told, and WINDOW_UPDATEs that nobody expects are passed over.

#![allow(dead_code)] // Each test file uses its part.

use std::collections::VecDeque;

use tokio::io::DuplexStream;

use crate::raw::{self, Frame, Raw};
use crate::side::Side;

/// Plays the lines, one after the other.
#[allow(clippy::print_stdout)] // Shown when the test fails: how far it came.
pub(crate) async fn play(raw: &mut Raw, side: &mut Side, text: &str) {
    let mut wanted: Vec<Wanted> = Vec::new();
    let mut pinged = None;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (mark, rest) = line.split_at(1);
        let rest = rest.trim();
        if mark != "<" {
            settle(&mut raw.io, &mut wanted, &mut pinged).await;
        }
        println!("{line}");
        match mark {
            ">" if rest == "PONG" => {
                let asked = pinged.take().expect("nothing to answer");
                raw.send(&raw::frame(raw::PING, raw::ACK, 0, &asked)).await;
            }
            ">" => raw.send(&written(rest)).await,
            "<" => wanted.extend(Wanted::read(rest)),
            "*" => side.act(rest).await,
            _ => panic!("not a line of a transcript: {line}"),
        }
    }
    settle(&mut raw.io, &mut wanted, &mut pinged).await;
}

/// The bytes of a `>` line.
pub(crate) fn written(text: &str) -> Vec<u8> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |at: usize| words[at].parse::<u32>().unwrap();
    match words[0] {
        "PREFACE" => raw::PREFACE.to_vec(),
        "BYTES" => bytes(&words[1..]),
        "SETTINGS" if words.get(1) == Some(&"ACK") => raw::frame(raw::SETTINGS, raw::ACK, 0, &[]),
        "SETTINGS" => raw::settings(&entries(&words[1..])),
        "HEADERS" => {
            let named = [("END_STREAM", raw::END_STREAM), ("END_HEADERS", raw::END_HEADERS)];
            let flags = named.iter().filter(|(name, _)| words.contains(name)).map(|(_, bit)| bit).sum();
            let block = words.iter().skip(2).filter(|word| !word.starts_with("END_")).copied();
            raw::frame(raw::HEADERS, flags, number(1), &bytes(&block.collect::<Vec<_>>()))
        }
        "DATA" => raw::frame(raw::DATA, 0, number(1), quoted(text).as_bytes()),
        "END" => raw::frame(raw::DATA, raw::END_STREAM, number(1), &[]),
        "RST_STREAM" => raw::reset(number(1), number(2)),
        "GOAWAY" => raw::goaway(number(1), number(2)),
        "PING" if words.get(2) == Some(&"ACK") => raw::frame(raw::PING, raw::ACK, 0, words[1].as_bytes()),
        "PING" => raw::frame(raw::PING, 0, 0, words[1].as_bytes()),
        "WINDOW_UPDATE" => raw::frame(raw::WINDOW_UPDATE, 0, number(1), &number(2).to_be_bytes()),
        _ => panic!("not a frame: {text}"),
    }
}

fn bytes(words: &[&str]) -> Vec<u8> {
    let digits = words.concat();
    let octet = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(octet).collect()
}

pub(crate) fn quoted(text: &str) -> &str {
    text.split('"').nth(1).expect("a text in quotes")
}

fn entries(words: &[&str]) -> Vec<(u16, u32)> {
    let entry = |word: &&str| {
        let (id, value) = word.split_once('=').unwrap();
        (id.parse().unwrap(), value.parse().unwrap())
    };
    words.iter().map(entry).collect()
}

/// What a `<` line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    /// These bytes of a stream, in as many frames as it takes.
    Data(u32, VecDeque<u8>),
    End(u32),
    /// HEADERS with a whole block: whether it ends the stream, and the start of the block.
    Headers(u32, bool, Vec<u8>),
    Settings(Vec<(u16, u32)>),
    Exactly(Frame),
    /// GOAWAY with this last stream and code.
    Goaway(u32, u32),
    /// A PING that the line `> PONG` answers.
    Pinged,
    /// The end of the connection.
    Closed,
}

impl Wanted {
    fn read(text: &str) -> Vec<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u32>().unwrap();
        vec![match words[0] {
            "DATA" => Self::Data(number(1), quoted(text).bytes().collect()),
            "END" => Self::End(number(1)),
            "HEADERS" => {
                let block: Vec<&str> =
                    words[2..].iter().filter(|word| !word.starts_with("END_")).copied().collect();
                Self::Headers(number(1), words.contains(&"END_STREAM"), bytes(&block))
            }
            "SETTINGS" if words.get(1) != Some(&"ACK") => Self::Settings(entries(&words[1..])),
            "GOAWAY" => Self::Goaway(number(1), number(2)),
            "CLOSED" => Self::Closed,
            "PINGED" => Self::Pinged,
            _ => {
                let bytes = written(text);
                let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
                Self::Exactly(Frame {
                    kind: bytes[3],
                    flags: bytes[4],
                    stream: word(5),
                    payload: bytes[9..].to_vec(),
                })
            }
        }]
    }

    fn stream(&self) -> u32 {
        match self {
            Self::Data(stream, _) | Self::End(stream) | Self::Headers(stream, ..) => *stream,
            Self::Exactly(frame) => frame.stream,
            Self::Settings(_) | Self::Goaway(..) | Self::Pinged => 0,
            Self::Closed => u32::MAX,
        }
    }
}

/// Reads until everything that was wanted has come.
async fn settle(io: &mut DuplexStream, wanted: &mut Vec<Wanted>, pinged: &mut Option<Vec<u8>>) {
    while let Some(first) = wanted.first() {
        if *first == Wanted::Closed {
            while let Some(frame) = raw::read_frame(io).await {
                let farewell = frame.kind == raw::GOAWAY && frame.word(4) == 0;
                assert!(farewell || passes(&frame), "came instead of the end: {frame:?}");
            }
            wanted.remove(0);
            continue;
        }
        let frame = raw::read_frame(io).await;
        let frame = frame.unwrap_or_else(|| panic!("the connection ended instead of {wanted:?}"));
        if frame.kind == raw::PING && frame.flags == 0 && wanted.contains(&Wanted::Pinged) {
            wanted.retain(|wanted| *wanted != Wanted::Pinged);
            *pinged = Some(frame.payload);
            continue;
        }
        if !fulfil(wanted, &frame) {
            assert!(passes(&frame), "came instead of {wanted:?}: {frame:?}");
        }
    }
}

/// Frames that say nothing about the conversation.
fn passes(frame: &Frame) -> bool {
    frame.kind == raw::WINDOW_UPDATE
}

/// Whether the frame is wanted; takes what it fulfils from the list.
fn fulfil(wanted: &mut Vec<Wanted>, frame: &Frame) -> bool {
    let ends = frame.flags & raw::END_STREAM != 0;
    let places: Vec<usize> = (0..wanted.len()).filter(|at| wanted[*at].stream() == frame.stream).collect();
    // In order within a stream, in any order on the connection's.
    let places = if frame.stream == 0 { &places[..] } else { &places[..places.len().min(1)] };
    for at in places.iter().copied() {
        let matched = match (&mut wanted[at], frame.kind) {
            (Wanted::Data(_, left), raw::DATA) if left.len() >= frame.payload.len() => {
                let same = left.drain(..frame.payload.len()).eq(frame.payload.iter().copied());
                assert!(same, "other bytes: {frame:?}");
                if !left.is_empty() {
                    assert!(!ends, "the end comes early: {frame:?}");
                    return true;
                }
                wanted.remove(at);
                let after = wanted.iter().position(|next| next.stream() == frame.stream);
                return match after {
                    Some(after) if ends => {
                        assert_eq!(wanted.remove(after), Wanted::End(frame.stream));
                        true
                    }
                    _ => !ends,
                };
            }
            (Wanted::End(_), raw::DATA) if frame.payload.is_empty() && !ends => return true,
            (Wanted::End(_), raw::DATA) => frame.payload.is_empty(),
            (Wanted::Headers(_, end, block), raw::HEADERS) => {
                frame.flags & raw::END_HEADERS != 0 && *end == ends && frame.payload.starts_with(block)
            }
            (Wanted::Settings(entries), raw::SETTINGS) => {
                frame.flags == 0 && entries.iter().all(|entry| frame.settings().contains(entry))
            }
            (Wanted::Goaway(last, code), raw::GOAWAY) => frame.word(0) == *last && frame.word(4) == *code,
            (Wanted::Exactly(wanted), _) => wanted == frame,
            _ => false,
        };
        if matched {
            wanted.remove(at);
            return true;
        }
    }
    false
}
