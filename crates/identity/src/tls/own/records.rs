//! The records of one established TLS 1.3 connection (RFC 8446 section 5): a state machine without I/O. Bytes in,
//! plaintext and queued records out.

use rustls::crypto::cipher::OutboundChunks;
use rustls::{ContentType, Error, PeerMisbehaved, Tls13CipherSuite};
use smallvec::SmallVec;

use super::fault::{alert_of, inappropriate};
use super::handshake::Established;
use super::header::whole_record;
use super::keys::{OpeningKey, SealingKey, tls13};
use super::messages::{Message, Messages};
use super::queue::Queue;
use super::session::Session;

/// Most plaintext in one record (RFC 8446 section 5.1).
const FULL: usize = 16 * 1024;
/// Records without application data in a row that a peer may send: empty ones, key updates, tickets. As many as
/// rustls and BoringSSL bear.
const MOST_IDLE: u8 = 32;

/// Most pieces that are delivered together: the full records of one large read, and some.
const TOGETHER: usize = 32;

/// What one buffer of received bytes held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Opened {
    /// Bytes of whole records. What follows them is the beginning of the next one.
    pub(super) consumed: usize,
    /// Bytes of plaintext that were delivered.
    pub(super) delivered: usize,
}

/// How a connection stands.
enum State {
    Open,
    /// The peer has sent `close_notify`: what it sends after that is ignored (RFC 8446 section 6.1).
    PeerClosed,
    /// Nothing goes in or out any more, for this reason.
    Dead(Error),
}

/// Both directions' keys and what is under way. The keys of a direction are dropped, and by that wiped, when it ends.
pub(super) struct Records {
    pub(super) session: Session,
    suite: &'static Tls13CipherSuite,
    pub(super) opening: Option<OpeningKey>,
    pub(super) sealing: Option<SealingKey>,
    state: State,
    messages: Messages,
    idle: u8,
    /// The peer wants our key updated, which happens before our next data (RFC 8446 section 4.6.3).
    update_due: bool,
    /// Records sealed with one key before it is updated.
    pub(super) key_life: u64,
    pub(super) queue: Queue,
}

impl Records {
    pub(super) fn new(established: Established) -> Result<Self, Error> {
        let Established { session, secrets, .. } = established;
        let suite = tls13(session.suite())?;
        let used_before = secrets.tx.0 > 0;
        let mut records = Self {
            opening: Some(OpeningKey::new(suite, secrets.rx)?),
            sealing: Some(SealingKey::new(suite, secrets.tx)?),
            state: State::Open,
            messages: Messages::new(session.is_client()),
            idle: 0,
            update_due: false,
            // Half of what the cipher bears: no count has to be exact.
            key_life: suite.common.confidentiality_limit / 2,
            queue: Queue::default(),
            session,
            suite,
        };
        if used_before {
            // AWS-LC learns the start of the nonces from a key's first use and refuses most sequences that do not
            // begin at 0: a key that rustls has used for its tickets serves for the update only.
            records.update_key(false)?;
        }
        Ok(records)
    }

    /// Whether the peer has ended its direction, or why the connection is dead.
    pub(super) fn ended(&self) -> Result<bool, Error> {
        match &self.state {
            State::Open => Ok(false),
            State::PeerClosed => Ok(true),
            State::Dead(error) => Err(error.clone()),
        }
    }

    /// Opens every whole record of `bytes` in place and hands what is in them to `deliver`, as many pieces together as
    /// there are. An error is final: the connection is dead, and the alert that says so is queued.
    pub(super) fn open(
        &mut self,
        bytes: &mut [u8],
        deliver: &mut dyn FnMut(&[&[u8]]),
    ) -> Result<Opened, Error> {
        let mut opened = Opened { consumed: 0, delivered: 0 };
        let mut pieces = SmallVec::<[&[u8]; TOGETHER]>::new();
        let total = bytes.len();
        let mut rest = bytes;
        let outcome = loop {
            match self.ended() {
                Ok(false) => {}
                Ok(true) => {
                    opened.consumed = total;
                    break Ok(opened);
                }
                Err(error) => break Err(error),
            }
            let piece = match whole_record(rest) {
                Ok(None) => break Ok(opened),
                Ok(Some(length)) => {
                    let (record, after) = std::mem::take(&mut rest).split_at_mut(length);
                    rest = after;
                    opened.consumed += length;
                    self.record(record)
                }
                Err(error) => Err(error),
            };
            match piece {
                Ok([]) => {}
                Ok(piece) => {
                    opened.delivered += piece.len();
                    pieces.push(piece);
                    if pieces.len() == TOGETHER {
                        deliver(&pieces);
                        pieces.clear();
                    }
                }
                Err(error) => {
                    self.die(&error);
                    break Err(error);
                }
            }
        };
        if !pieces.is_empty() {
            deliver(&pieces);
        }
        outcome
    }

    /// One whole record with its header; the plaintext in it, empty when it is for TLS itself.
    fn record<'b>(&mut self, record: &'b mut [u8]) -> Result<&'b [u8], Error> {
        let body = record.get_mut(super::header::LENGTH..).unwrap_or_default();
        let Some(key) = &mut self.opening else { return Err(Error::DecryptError) };
        let plain = key.open(body)?;
        if plain.typ != ContentType::Handshake {
            self.messages.must_be_whole()?;
        }
        match plain.typ {
            ContentType::ApplicationData if plain.payload.is_empty() => {
                self.without_data(PeerMisbehaved::TooManyEmptyFragments)?;
                Ok(&[])
            }
            ContentType::ApplicationData => {
                self.idle = 0;
                Ok(plain.payload)
            }
            ContentType::Handshake => {
                self.messages.add(plain.payload)?;
                self.without_data(PeerMisbehaved::TooManyKeyUpdateRequests)?;
                self.take_messages()?;
                Ok(&[])
            }
            ContentType::Alert => {
                let alert = super::alert::read(plain.payload)?;
                self.alert(alert)?;
                Ok(&[])
            }
            other => Err(inappropriate(other)),
        }
    }

    fn without_data(&mut self, excess: PeerMisbehaved) -> Result<(), Error> {
        if self.idle == MOST_IDLE {
            return Err(excess.into());
        }
        self.idle += 1;
        Ok(())
    }

    fn take_messages(&mut self) -> Result<(), Error> {
        while let Some(message) = self.messages.next()? {
            match message {
                Message::Ticket(payload) => self.session.ticket(&payload)?,
                Message::KeyUpdate { requested } => {
                    self.opening = None;
                    self.opening = Some(OpeningKey::new(self.suite, self.session.next_receiving()?)?);
                    self.update_due |= requested;
                }
            }
        }
        Ok(())
    }

    fn alert(&mut self, alert: super::alert::Alert) -> Result<(), Error> {
        use super::alert::Alert;
        match alert {
            Alert::CloseNotify => {
                self.state = State::PeerClosed;
                self.opening = None;
                Ok(())
            }
            Alert::UserCanceled => self.without_data(PeerMisbehaved::TooManyWarningAlertsReceived),
            Alert::Fatal(description) => Err(Error::AlertReceived(description)),
        }
    }

    /// Queues the concatenation of `pieces` in records as full as can be.
    pub(super) fn seal(&mut self, pieces: &[&[u8]]) -> Result<(), Error> {
        let mut rest = OutboundChunks::new(pieces);
        while !rest.is_empty() {
            let (record, after) = rest.split_at(FULL);
            rest = after;
            let used = self.sealing.as_ref().map_or(0, SealingKey::sequence);
            if self.update_due || used >= self.key_life {
                self.update_key(false)?;
            }
            self.push(ContentType::ApplicationData, record)?;
        }
        Ok(())
    }

    /// Tells the peer that our key changes, and changes it.
    pub(super) fn update_key(&mut self, request: bool) -> Result<(), Error> {
        let message = super::messages::key_update(request);
        self.push(ContentType::Handshake, OutboundChunks::Single(&message))?;
        self.update_due = false;
        self.sealing = None;
        self.sealing = Some(SealingKey::new(self.suite, self.session.next_sending()?)?);
        Ok(())
    }

    /// Queues `close_notify`, once; nothing can be sealed after it.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        if self.sealing.is_some() {
            let alert = super::alert::close_notify();
            self.push(ContentType::Alert, OutboundChunks::Single(&alert))?;
            self.sealing = None;
        }
        Ok(())
    }

    pub(super) fn push(&mut self, typ: ContentType, payload: OutboundChunks<'_>) -> Result<(), Error> {
        if let State::Dead(error) = &self.state {
            return Err(error.clone());
        }
        let key = self.sealing.as_mut().ok_or(Error::EncryptError)?;
        let sealed = key.seal(typ, payload);
        match sealed {
            Ok(record) => {
                self.queue.push(record);
                Ok(())
            }
            Err(error) => {
                self.die(&error);
                Err(error)
            }
        }
    }

    /// Ends both directions; what was queued gives way to the alert.
    fn die(&mut self, error: &Error) {
        self.queue.truncate();
        let sealed = self.sealing.take().zip(alert_of(error)).and_then(|(mut key, description)| {
            let alert = super::alert::fatal(description);
            key.seal(ContentType::Alert, OutboundChunks::Single(&alert)).ok()
        });
        if let Some(record) = sealed {
            self.queue.push(record);
        }
        self.opening = None;
        self.state = State::Dead(error.clone());
    }

    /// The peer's stream ended without `close_notify`, or broke: nothing more is opened.
    pub(super) fn stop_opening(&mut self) {
        self.opening = None;
    }
}
