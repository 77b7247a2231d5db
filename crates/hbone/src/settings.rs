//! How much a tunnel may hold, and how long it may take. Defaults are the project's (facts/security-and-faults.md, 2).

use std::time::Duration;

use crate::headroom::{Growth, Headroom};

/// Start of every stream's receive window, in bytes: what one unread stream can hold.
const STREAM_WINDOW: u32 = 256 * 1024;
/// What a stream's window may grow to: 640 Mbit/s over 50 ms.
const WIDEST_STREAM_WINDOW: u32 = 4 * 1024 * 1024;
/// Receive window of the connection. It must exceed the stream's, or one stalled stream starves the rest.
const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// Largest frame that the peer may send. Several TLS records a frame; more would let one stream keep the others waiting.
const MAX_FRAME: u32 = 64 * 1024;
/// Beyond its window's bytes, what small frames may cost while they wait to be read. Four bytes a frame fill one stream
/// window at this price; the library's own bound of half the connection window would cut a whole tunnel over one
/// reader that stalls while its peer writes short lines.
const FRAME_OVERHEAD: usize = 16 * 1024 * 1024;
const HEADROOM: usize = 64 * 1024 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
const HEADER_LIST: u32 = 16 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The largest window that HTTP/2 knows (RFC 9113 section 6.9.1).
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// What speaks HTTP/2 in a tunnel. Both speak the same wire, so the two ends of a tunnel may differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// Our own, for CONNECT only.
    #[default]
    Own,
    /// The general library.
    Library,
}

/// Windows and buffers, alike at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffers {
    /// Receive window of each stream in bytes to start with: 256 KiB.
    pub stream_window: u32,
    /// What a stream's window may grow to in bytes: 4 MiB. It grows to twice the stream's bandwidth-delay product while
    /// its reader keeps up, and the connection's with it, out of the headroom. Not above `stream_window`, it never
    /// grows. Our own engine's; the general library's windows stay.
    pub widest_stream_window: u32,
    /// Receive window of the connection in bytes: 2 MiB to start with, and more with the streams in it. At least the
    /// stream's is used.
    pub connection_window: u32,
    /// Where windows grow from: 64 MiB for all tunnels made with clones of this value. At most half goes to windows of
    /// streams; once less than a quarter is left, those shrink again.
    pub headroom: Headroom,
    /// Largest frame accepted in bytes: 64 KiB; HTTP/2 allows 16 KiB to 16 MiB less one.
    pub max_frame: u32,
    /// What DATA frames of less than 256 bytes may cost in memory while they wait to be read, in bytes per connection:
    /// 16 MiB. A peer that sends more is cut off (ENHANCE_YOUR_CALM).
    pub frame_overhead: usize,
    /// Bytes that a stream accepts and that have not left yet: 256 KiB.
    pub send_buffer: usize,
    /// Decoded size of a header list that is accepted, in bytes: 16 KiB.
    pub header_list: u32,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            stream_window: STREAM_WINDOW,
            widest_stream_window: WIDEST_STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            headroom: Headroom::new(HEADROOM),
            max_frame: MAX_FRAME,
            frame_overhead: FRAME_OVERHEAD,
            send_buffer: SEND_BUFFER,
            header_list: HEADER_LIST,
        }
    }
}

impl Buffers {
    /// What the connection window grows from.
    pub(crate) fn growth(&self) -> Growth {
        Growth::new(self.headroom.clone(), self.connection_window, self.stream_window)
    }

    /// The values with every one inside the limits of HTTP/2, where the library below would panic.
    pub(crate) fn clamped(&self) -> Self {
        let stream_window = self.stream_window.clamp(1, LARGEST_WINDOW);
        Self {
            stream_window,
            widest_stream_window: self.widest_stream_window.min(LARGEST_WINDOW),
            connection_window: self.connection_window.clamp(stream_window, LARGEST_WINDOW),
            headroom: self.headroom.clone(),
            max_frame: self.max_frame.clamp(16_384, (1 << 24) - 1),
            frame_overhead: self.frame_overhead,
            send_buffer: self.send_buffer.clamp(1, u32::MAX as usize),
            header_list: self.header_list,
        }
    }
}

/// When a peer counts as gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Liveness {
    /// After this long without a byte from the peer while streams are open, it is asked (PING): 10 s.
    pub ping_interval: Duration,
    /// How long it may take to answer, or to send anything else: 20 s.
    pub ping_timeout: Duration,
}

impl Default for Liveness {
    fn default() -> Self {
        Self { ping_interval: PING_INTERVAL, ping_timeout: PING_TIMEOUT }
    }
}

/// One tunnel from the side that dials it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// What speaks HTTP/2.
    pub engine: Engine,
    /// Windows and buffers.
    pub buffers: Buffers,
    /// When the peer counts as gone.
    pub liveness: Liveness,
    /// Streams at a time: 100, or fewer if the peer says so.
    pub max_streams: usize,
    /// From the first byte to the peer's SETTINGS: 5 s.
    pub handshake_timeout: Duration,
    /// Send first bytes before the answer to a CONNECT, to peers that say that they take them: no.
    /// [`Engine::Library`] never does.
    pub early_bytes: bool,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            buffers: Buffers::default(),
            liveness: Liveness::default(),
            max_streams: 100,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            early_bytes: false,
        }
    }
}

/// One tunnel from the side that accepts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// What speaks HTTP/2.
    pub engine: Engine,
    /// Windows and buffers.
    pub buffers: Buffers,
    /// When the peer counts as gone.
    pub liveness: Liveness,
    /// Streams at a time that the peer may open: 200.
    pub max_streams: u32,
    /// From the start to the client's SETTINGS: 5 s.
    pub handshake_timeout: Duration,
    /// How long a connection without streams is kept: 10 minutes. `None` keeps it for ever. Clients of the mesh close
    /// theirs sooner (Istio's after 5 minutes, ours after 90 s).
    pub idle_timeout: Option<Duration>,
    /// Say that first bytes may come before the answer to a CONNECT: no. Whether it is said or not, they go nowhere
    /// before the 200. [`Engine::Library`] never says it.
    pub early_bytes: bool,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            buffers: Buffers::default(),
            liveness: Liveness::default(),
            max_streams: 200,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            idle_timeout: Some(Duration::from_secs(600)),
            early_bytes: false,
        }
    }
}
