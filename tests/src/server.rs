//! Small real servers inside pods, which remember what reached them.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ambit_netns::Namespace;
use socket2::SockRef;

use crate::http;
use crate::wait::wait_for;

/// What reached a server.
#[derive(Debug, Default)]
pub struct Seen {
    /// Who connected, unmapped.
    pub peers: Mutex<Vec<IpAddr>>,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// Connections being served now.
    pub open: AtomicUsize,
    /// Reads that ended with a reset.
    pub resets: AtomicUsize,
}

impl Seen {
    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.peers.lock().unwrap().len()
    }

    /// How many bytes were read.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }
}

/// A server; it stops listening when dropped. Its connections go on.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// What reached it.
    pub seen: Arc<Seen>,
}

impl Server {
    /// Serves every address of a namespace, with a thread for each connection.
    pub fn start(
        namespace: &Namespace,
        port: u16,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(namespace, (Ipv6Addr::UNSPECIFIED, port).into(), serve)
    }

    /// Serves one address.
    pub fn start_at(
        namespace: &Namespace,
        at: SocketAddr,
        serve: impl Fn(&mut Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let bind = || match namespace.run(|| TcpListener::bind(at)).unwrap() {
            // The system may hold a former server's port a little longer than its owner.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => None,
            other => Some(other.unwrap()),
        };
        let listener = wait_for(&format!("{at} is free"), bind);
        let (accepting, seen, serve) =
            (listener.try_clone().unwrap(), Arc::new(Seen::default()), Arc::new(serve));
        let noted = seen.clone();
        std::thread::spawn(move || {
            while let Ok((stream, peer)) = accepting.accept() {
                let (seen, serve) = (noted.clone(), serve.clone());
                seen.peers.lock().unwrap().push(peer.ip().to_canonical());
                seen.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let mut connection = Connection { stream, peer, seen: seen.clone() };
                    if serve(&mut connection)
                        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset)
                    {
                        seen.resets.fetch_add(1, Ordering::SeqCst);
                    }
                    seen.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { listener, seen }
    }

    /// Answers `NAME PATH CLIENT` to each HTTP request.
    pub fn http(namespace: &Namespace, port: u16, name: &str) -> Self {
        let name = name.to_owned();
        Self::start(namespace, port, move |connection| {
            let peer = connection.peer.ip().to_canonical();
            http::respond(&connection.stream, |path| format!("{name} {path} {peer}"))
        })
    }

    /// Sends everything back, and ends when the client does.
    pub fn echo(namespace: &Namespace, port: u16) -> Self {
        Self::start(namespace, port, Connection::echo)
    }

    /// Stops listening.
    pub fn stop(&self) {
        let _ = SockRef::from(&self.listener).shutdown(Shutdown::Both);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An accepted connection. What is read through it is counted.
#[derive(Debug)]
pub struct Connection {
    /// The socket.
    pub stream: TcpStream,
    /// The client.
    pub peer: SocketAddr,
    seen: Arc<Seen>,
}

impl Connection {
    /// Sends everything back until the client ends.
    pub fn echo(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                return self.stream.shutdown(Shutdown::Write);
            }
            self.stream.write_all(&buffer[..count])?;
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.seen.bytes.fetch_add(count as u64, Ordering::SeqCst);
        Ok(count)
    }
}
