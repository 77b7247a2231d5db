//! New connections, one request each: connect, ask, check, close, again.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, ensure};

use super::connect::connect;
use super::message;
use super::pattern::mix;
use super::shared::Shared;

/// One client, until told to stop.
pub(super) fn run(to: SocketAddr, thread: usize, shared: &Shared) -> anyhow::Result<()> {
    let mut output = Vec::with_capacity(256);
    for turn in 0.. {
        if shared.stopped() {
            break;
        }
        let begun = Instant::now();
        let stream = connect(to).context("a new connection")?;
        ask(&stream, mix(((thread as u64) << 48) ^ turn), &mut output).context("a new connection")?;
        drop(stream);
        let now = Instant::now();
        if let Some(recorder) = shared.recorders.get(thread) {
            recorder.record(now, now - begun);
        }
        if turn == 0 {
            shared.ready.fetch_add(1, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Connections that do nothing until told to stop; each is asked once at either end of its life.
pub(super) fn hold(to: SocketAddr, connections: usize, shared: &Shared) -> anyhow::Result<()> {
    let mut output = Vec::with_capacity(256);
    let mut held = Vec::with_capacity(connections);
    for index in 0..connections {
        let stream = connect(to).with_context(|| format!("connection {index}"))?;
        ask(&stream, mix(index as u64), &mut output).with_context(|| format!("connection {index}"))?;
        held.push(stream);
    }
    shared.ready.fetch_add(1, Ordering::SeqCst);
    while !shared.stopped() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    for (index, stream) in held.iter().enumerate() {
        let asked = ask(stream, !mix(index as u64), &mut output);
        asked.with_context(|| format!("connection {index}, after its idle time"))?;
    }
    Ok(())
}

/// One request and its answer.
pub fn ask(mut stream: &TcpStream, id: u64, output: &mut Vec<u8>) -> anyhow::Result<()> {
    message::write_request(id, output);
    stream.write_all(output)?;
    let (mut input, mut buffer) = (Vec::with_capacity(512), [0; 1024]);
    while !message::check_answer(id, &input)? {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "closed before the answer");
        input.extend_from_slice(buffer.get(..count).unwrap_or_default());
    }
    Ok(())
}
