//! What the shop's programs are told and what they tell: one JSON object a line.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What a program is to do; on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Make one request. Answered by [`News::Call`] with the same number.
    Call {
        /// Comes back in the answer.
        number: u64,
        /// GET or POST.
        method: String,
        /// `http://HOST[:PORT]/PATH`.
        url: String,
        /// Shown as a bearer token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
    },
    /// Read a response that never ends, until the connection does. Answered by [`News::Follow`], again and again.
    Follow {
        /// Comes back in the answers.
        number: u64,
        /// As for a call.
        url: String,
    },
    /// Make requests until told to stop, over new and over kept connections. Answered by [`News::Load`].
    Load {
        /// Comes back in the answers.
        number: u64,
        /// As for a call.
        url: String,
    },
    /// End what has this number.
    Stop {
        /// Which.
        number: u64,
    },
}

/// What a program did; on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// It serves.
    Listening {
        /// Where, on every address.
        port: u16,
    },
    /// It made a request: ordered, or in order to answer somebody else's.
    Call(Call),
    /// How an endless response goes.
    Follow(Follow),
    /// How a load goes.
    Load(Load),
}

/// A request and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The order's; nothing for a call made on the way to an answer.
    pub number: Option<u64>,
    /// Who called.
    pub from: String,
    /// Whom, as it is named in the URL.
    pub to: String,
    /// `GET /items`.
    pub request: String,
    /// The client's end of the connection, by which the proxy's log tells of it.
    pub local: Option<SocketAddr>,
    /// The address that was dialled.
    pub remote: Option<SocketAddr>,
    /// The status, or why there was none.
    pub outcome: Result<u16, String>,
    /// Bytes of the answer's body.
    pub bytes: usize,
    /// From the first packet to the last byte of the answer.
    pub microseconds: u64,
}

/// An endless response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// The order's.
    pub number: u64,
    /// The client's end of the connection.
    pub local: Option<SocketAddr>,
    /// Pieces that came so far.
    pub pieces: u64,
    /// Why no more come.
    pub ended: Option<String>,
}

/// A load, counted from its beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The order's.
    pub number: u64,
    /// Requests answered with success.
    pub requests: u64,
    /// Connections opened.
    pub connections: u64,
    /// Requests that were not.
    pub errors: u64,
    /// What the first of those was.
    pub first_error: Option<String>,
    /// Whether it has ended.
    pub ended: bool,
}

/// The `x-request-id` of the call that is ordered of the program `name` with this number, by which logs tell of it.
pub fn request_id(name: &str, number: u64) -> String {
    format!("{name}-{number}")
}

/// Tells news to whoever started the program.
#[derive(Clone)]
pub struct Teller {
    to: Arc<dyn Fn(&News) + Send + Sync>,
}

impl Teller {
    /// A teller that hands the news to `to`.
    pub fn new(to: impl Fn(&News) + Send + Sync + 'static) -> Self {
        Self { to: Arc::new(to) }
    }

    /// A teller that writes lines.
    pub fn to_standard_output() -> Self {
        Self::new(|news| {
            if let Ok(mut line) = serde_json::to_vec(news) {
                line.push(b'\n');
                let mut out = std::io::stdout().lock();
                // Nobody listens when the demo is gone; then standard input ends too.
                let _ = out.write_all(&line).and_then(|()| out.flush());
            }
        })
    }

    /// Tells.
    pub fn tell(&self, news: &News) {
        (self.to)(news);
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Teller")
    }
}
