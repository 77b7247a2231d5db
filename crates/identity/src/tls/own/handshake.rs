//! The handshake: rustls decides everything, this carries its bytes and hands over the keys at the exact record at
//! which they begin to protect data.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, InsufficientSizeError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, Error, ExtractedSecrets, ServerConfig};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::header;
use super::session::Session;
use crate::tls::Negotiated;
use crate::tls::stream::negotiated;

/// Bytes asked of the stream at a time: a whole flight, seldom more.
const READ: usize = 4 * 1024;
/// Most bytes of a handshake that are held before they are understood. rustls takes messages of up to 64 KiB.
const MOST: usize = 192 * 1024;

/// What a handshake leaves behind.
pub(in crate::tls) struct Established {
    pub(super) session: Session,
    pub(super) secrets: ExtractedSecrets,
    /// What came behind the peer's last message of the handshake.
    pub(super) behind: Vec<u8>,
    pub(super) negotiated: Negotiated,
    pub(in crate::tls) peer: Option<Vec<CertificateDer<'static>>>,
}

impl Established {
    pub(in crate::tls) fn handshake(&self) -> crate::tls::Handshake {
        self.negotiated.handshake
    }
}

/// A client's handshake over `io`.
pub(in crate::tls) async fn connect<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> io::Result<Established> {
    let connection = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
    establish(io, Box::new(connection)).await
}

/// A server's handshake over `io`.
pub(in crate::tls) async fn accept<IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    config: Arc<ServerConfig>,
) -> io::Result<Established> {
    let connection = UnbufferedServerConnection::new(config).map_err(invalid)?;
    establish(io, Box::new(connection)).await
}

/// rustls' two kinds of connection, which have no trait in common.
trait Side {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn state(&self) -> &CommonState;
    fn into_session(self) -> Result<(ExtractedSecrets, Session), Error>;
}

impl Side for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn state(&self) -> &CommonState {
        self
    }

    fn into_session(self) -> Result<(ExtractedSecrets, Session), Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Session::Client(kernel)))
    }
}

impl Side for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }

    fn state(&self) -> &CommonState {
        self
    }

    fn into_session(self) -> Result<(ExtractedSecrets, Session), Error> {
        let (secrets, kernel) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Session::Server(kernel)))
    }
}

/// What rustls wants next.
enum Step {
    Again,
    Read,
    Send,
    Finished,
    Failed(Error),
}

/// A handshake under way.
struct Handshake<S> {
    connection: Box<S>,
    incoming: Vec<u8>,
    /// How much of `incoming` rustls has been shown. It is shown one record after the other and never one behind its
    /// last message, so that the records of the established connection are all ours, from the first.
    shown: usize,
    outgoing: Vec<u8>,
}

async fn establish<S: Side, IO: AsyncRead + AsyncWrite + Unpin>(
    io: &mut IO,
    connection: Box<S>,
) -> io::Result<Established> {
    let mut handshake = Handshake { connection, incoming: Vec::new(), shown: 0, outgoing: Vec::new() };
    loop {
        match handshake.step() {
            Step::Again => {}
            Step::Send => {
                io.write_all(&handshake.outgoing).await?;
                io.flush().await?;
                handshake.outgoing.clear();
            }
            Step::Read => {
                if !handshake.show_next() {
                    handshake.read(io).await?;
                }
            }
            Step::Finished => return handshake.finish().map_err(invalid),
            Step::Failed(error) => {
                handshake.last_words(io).await;
                return Err(invalid(error));
            }
        }
    }
}

impl<S: Side> Handshake<S> {
    fn step(&mut self) -> Step {
        let UnbufferedStatus { discard, state } = self.connection.process(&mut self.incoming[..self.shown]);
        let step = match state {
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                match encode(&mut self.outgoing, |room| data.encode(room)) {
                    Ok(()) => Step::Again,
                    Err(error) => Step::Failed(error),
                }
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Send
            }
            Ok(ConnectionState::BlockedHandshake) => Step::Read,
            Ok(ConnectionState::WriteTraffic(_)) => Step::Finished,
            // None of these can come before the handshake is done.
            Ok(other) => Step::Failed(Error::General(format!("{other:?} in the middle of a handshake"))),
            Err(error) => Step::Failed(error),
        };
        self.incoming.drain(..discard);
        self.shown -= discard;
        match step {
            Step::Finished if self.connection.state().is_handshaking() => Step::Read,
            step => step,
        }
    }

    /// Shows rustls one more record, or a header that no record can begin with. False: more must be read first.
    fn show_next(&mut self) -> bool {
        let rest = &self.incoming[self.shown..];
        let [_, _, _, high, low, ..] = *rest else { return false };
        let record = header::LENGTH + usize::from(u16::from_be_bytes([high, low]));
        if rest.len() >= record {
            self.shown += record;
            return true;
        }
        // What can never be a record is refused at once, by its header.
        let impossible = record > header::LENGTH + header::MOST_EVER || !matches!(rest[0], 20..=23);
        if impossible {
            self.shown = self.incoming.len();
        }
        impossible
    }

    async fn read<IO: AsyncRead + Unpin>(&mut self, io: &mut IO) -> io::Result<()> {
        if self.incoming.len() > MOST {
            return Err(invalid(rustls::InvalidMessage::HandshakePayloadTooLarge.into()));
        }
        self.incoming.reserve(READ);
        match io.read_buf(&mut self.incoming).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the handshake was cut off")),
            _ => Ok(()),
        }
    }

    /// Sends the alert of a failure, if the stream takes it at once: nobody waits for it.
    async fn last_words<IO: AsyncWrite + Unpin>(&mut self, io: &mut IO) {
        // The failure left at most the alert to be encoded. A further step would fail a second time.
        let _encoded = self.step();
        let mut rest = self.outgoing.as_slice();
        poll_fn(|cx| {
            while !rest.is_empty() {
                match Pin::new(&mut *io).poll_write(cx, rest) {
                    Poll::Ready(Ok(written)) if written > 0 => rest = &rest[written..],
                    _ => break,
                }
            }
            let _flushed = Pin::new(&mut *io).poll_flush(cx);
            Poll::Ready(())
        })
        .await;
    }

    fn finish(self) -> Result<Established, Error> {
        if self.shown > 0 {
            return Err(rustls::PeerMisbehaved::KeyEpochWithPendingFragment.into());
        }
        let state = self.connection.state();
        let negotiated = negotiated(state);
        let peer = state.peer_certificates().map(<[_]>::to_vec);
        let (secrets, session) = self.connection.into_session()?;
        Ok(Established { session, secrets, behind: self.incoming, negotiated, peer })
    }
}

/// Appends what rustls has to say to `outgoing`.
fn encode(
    outgoing: &mut Vec<u8>,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), Error> {
    let end = outgoing.len();
    let required = match write(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Err(error) => return Err(Error::General(error.to_string())),
    };
    outgoing.resize(end + required, 0);
    let written = write(&mut outgoing[end..]).map_err(|error| Error::General(error.to_string()))?;
    outgoing.truncate(end + written);
    Ok(())
}

/// As tokio-rustls reports it.
fn invalid(error: Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
