//! The server of every path: small answers from a few event loops, bulk streams from a thread each.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use parking_lot::Mutex;
use socket2::{Domain, Protocol, Socket, Type};

use super::bulk;
use super::message::{self, Asked};

/// Event loops.
const LOOPS: usize = 2;
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The listener's token.
const LISTENER: u64 = u64::MAX;

/// How the server treats what it answers; anything but `Honest` is for tests of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manners {
    /// Answers what was asked.
    Honest,
    /// Flips a bit of each hundredth small answer.
    Corrupts,
    /// Closes instead of each hundredth small answer.
    Drops,
}

struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
}

/// One event loop, as the others see it.
struct Loop {
    epoll: Epoll,
    connections: Mutex<HashMap<u64, Connection>>,
}

struct Shared {
    listener: TcpListener,
    loops: Vec<Loop>,
    accepted: AtomicUsize,
    answered: AtomicUsize,
    manners: Manners,
}

/// A listener with a long backlog on every address of the namespace.
pub fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    socket.bind(&address.into()).with_context(|| format!("port {port} is taken"))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Serves until the process ends.
pub fn serve(listener: TcpListener, manners: Manners) -> anyhow::Result<()> {
    let make = || -> nix::Result<Loop> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let wanted = EpollFlags::EPOLLIN | EpollFlags::EPOLLEXCLUSIVE;
        epoll.add(&listener, EpollEvent::new(wanted, LISTENER))?;
        Ok(Loop { epoll, connections: Mutex::default() })
    };
    let loops = (0..LOOPS).map(|_| make()).collect::<nix::Result<Vec<_>>>()?;
    let shared = Arc::new(Shared {
        listener,
        loops,
        accepted: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        manners,
    });
    let threads: Vec<_> = (0..LOOPS)
        .map(|index| {
            let shared = shared.clone();
            std::thread::spawn(move || run(&shared, index))
        })
        .collect();
    threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| anyhow::bail!("a loop ended")))
}

fn run(shared: &Shared, index: usize) -> anyhow::Result<()> {
    let Some(own) = shared.loops.get(index) else { return Ok(()) };
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = vec![0; 16 * 1024];
    let mut output = Vec::with_capacity(512);
    loop {
        let count = match own.epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let mut accept_too = false;
        {
            let mut connections = own.connections.lock();
            for event in events.iter().take(count) {
                let token = event.data();
                if token == LISTENER {
                    accept_too = true;
                } else if let Some(mut connection) = connections.remove(&token) {
                    let keep = attend(shared, &mut connection, &mut buffer, &mut output);
                    match keep {
                        Next::Keep => drop(connections.insert(token, connection)),
                        Next::Close => {}
                        Next::Bulk(held) => {
                            // The thread's socket must not be in this loop any more.
                            let _ = own.epoll.delete(&connection.stream);
                            std::thread::spawn(move || bulk::answer(&connection.stream, held));
                        }
                    }
                }
            }
        }
        if accept_too {
            accept(shared);
        }
    }
}

/// Accepts what waits, and gives the connections to the loops in turn.
fn accept(shared: &Shared) {
    while let Ok((stream, _)) = shared.listener.accept() {
        let turn = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let Some(to) = shared.loops.get(turn % LOOPS) else { return };
        if stream.set_nonblocking(true).is_err() || stream.set_nodelay(true).is_err() {
            continue;
        }
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, turn as u64);
        let mut connections = to.connections.lock();
        // The lock is held until it is in the table: its first event finds it there.
        if to.epoll.add(&stream, event).is_ok() {
            connections.insert(turn as u64, Connection { stream, input: Vec::new() });
        }
    }
}

enum Next {
    Keep,
    Close,
    Bulk(Vec<u8>),
}

/// Reads once, and answers when the request is whole.
fn attend(shared: &Shared, connection: &mut Connection, buffer: &mut [u8], output: &mut Vec<u8>) -> Next {
    let count = match connection.stream.read(buffer) {
        Ok(0) => return Next::Close,
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Keep,
        Err(_) => return Next::Close,
    };
    connection.input.extend_from_slice(buffer.get(..count).unwrap_or_default());
    let Ok(head) = message::head(&connection.input) else { return Next::Close };
    let Some(head) = head else { return Next::Keep };
    match message::asked(&head) {
        Some(Asked::Small(id)) => {
            connection.input.drain(..head.length);
            message::write_answer(id, output);
            if shared.manners != Manners::Honest
                && shared.answered.fetch_add(1, Ordering::Relaxed) % 100 == 99
            {
                match (shared.manners, output.last_mut()) {
                    (Manners::Corrupts, Some(last)) => *last ^= 1,
                    _ => return Next::Close,
                }
            }
            // A small answer on a connection without another in flight always fits the socket's buffer.
            match connection.stream.write(output) {
                Ok(written) if written == output.len() => Next::Keep,
                _ => Next::Close,
            }
        }
        Some(Asked::Sink(_) | Asked::Source(..)) => Next::Bulk(std::mem::take(&mut connection.input)),
        None => Next::Close,
    }
}
