//! Handshake messages after the handshake (RFC 8446 sections 4.6 and 5.1): a server's tickets, and key updates.

use rustls::{Error, HandshakeType, InvalidMessage, PeerMisbehaved};

const HEADER: usize = 4;
/// A ticket's value alone may have 65535 bytes; a certificate chain inside one has a few thousand.
const LARGEST: usize = 64 * 1024;

/// One whole message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// `NewSessionTicket` without its header.
    Ticket(Vec<u8>),
    /// The peer has changed its key; `requested`: and wants ours changed.
    KeyUpdate { requested: bool },
}

/// Puts messages together that are split over records. Owns memory only while one is incomplete.
pub(super) struct Messages {
    /// Only a client is sent tickets.
    client: bool,
    bytes: Vec<u8>,
}

impl Messages {
    pub(super) fn new(client: bool) -> Self {
        Self { client, bytes: Vec::new() }
    }

    /// The content of one record.
    pub(super) fn add(&mut self, payload: &[u8]) -> Result<(), Error> {
        if payload.is_empty() {
            return Err(InvalidMessage::InvalidEmptyPayload.into());
        }
        // A message that fits was taken out already, so this bounds the memory.
        self.bytes.extend_from_slice(payload);
        Ok(())
    }

    /// Nothing may come between the parts of a message.
    pub(super) fn must_be_whole(&self) -> Result<(), Error> {
        match self.bytes.is_empty() {
            true => Ok(()),
            false => Err(PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into()),
        }
    }

    /// The next whole message, if there is one. After a key update nothing may follow: it would be under the old key.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Error> {
        let [typ, high, middle, low, ref rest @ ..] = self.bytes[..] else {
            return self.wait();
        };
        let typ = HandshakeType::from(typ);
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        match typ {
            HandshakeType::KeyUpdate if length != 1 => Err(InvalidMessage::InvalidKeyUpdate.into()),
            HandshakeType::NewSessionTicket if self.client && length > LARGEST => {
                Err(InvalidMessage::HandshakePayloadTooLarge.into())
            }
            HandshakeType::KeyUpdate => match *rest {
                [] => self.wait(),
                [request @ (0 | 1)] => {
                    self.bytes = Vec::new();
                    Ok(Some(Message::KeyUpdate { requested: request == 1 }))
                }
                [0 | 1, ..] => Err(PeerMisbehaved::KeyEpochWithPendingFragment.into()),
                _ => Err(InvalidMessage::InvalidKeyUpdate.into()),
            },
            HandshakeType::NewSessionTicket if self.client => match rest.get(..length) {
                None => self.wait(),
                Some(payload) => {
                    let payload = payload.to_vec();
                    self.bytes.drain(..HEADER + length);
                    Ok(Some(Message::Ticket(payload)))
                }
            },
            got_type => Err(Error::InappropriateHandshakeMessage { expect_types: self.expected(), got_type }),
        }
    }

    fn wait(&mut self) -> Result<Option<Message>, Error> {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
        Ok(None)
    }

    fn expected(&self) -> Vec<HandshakeType> {
        match self.client {
            true => vec![HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate],
            false => vec![HandshakeType::KeyUpdate],
        }
    }
}

/// `KeyUpdate`, asking for the peer's or not.
pub(super) fn key_update(request: bool) -> [u8; 5] {
    [HandshakeType::KeyUpdate.into(), 0, 0, 1, u8::from(request)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(messages: &mut Messages, payload: &[u8]) -> Result<Vec<Message>, Error> {
        messages.add(payload)?;
        std::iter::from_fn(|| messages.next().transpose()).collect()
    }

    #[test]
    fn key_updates_end_their_record() {
        for (request, requested) in [(0, false), (1, true)] {
            let seen = all(&mut Messages::new(false), &[24, 0, 0, 1, request]);
            assert_eq!(seen, Ok(vec![Message::KeyUpdate { requested }]));
        }
        assert_eq!(all(&mut Messages::new(true), &key_update(true)).unwrap().len(), 1);
        let twice = [key_update(false), key_update(false)].concat();
        assert_eq!(
            all(&mut Messages::new(false), &twice),
            Err(PeerMisbehaved::KeyEpochWithPendingFragment.into())
        );
        for wrong in [&[24, 0, 0, 1, 2][..], &[24, 0, 0, 2, 0, 0], &[24, 0, 0, 0], &[24, 255, 255, 255]] {
            let seen = all(&mut Messages::new(false), wrong);
            assert_eq!(seen, Err(InvalidMessage::InvalidKeyUpdate.into()));
        }
    }

    #[test]
    fn a_split_message_is_put_together_and_nothing_comes_between() {
        let mut messages = Messages::new(true);
        for part in [&[4][..], &[0, 0], &[3, 7], &[8]] {
            assert_eq!(all(&mut messages, part), Ok(vec![]));
            assert!(messages.must_be_whole().is_err());
        }
        let seen = all(&mut messages, &[9, 4, 0, 0, 0, 24]);
        assert_eq!(seen, Ok(vec![Message::Ticket(vec![7, 8, 9]), Message::Ticket(vec![])]));
        assert!(messages.must_be_whole().is_err());
        assert_eq!(all(&mut messages, &[0, 0, 1, 0]), Ok(vec![Message::KeyUpdate { requested: false }]));
        assert!(messages.must_be_whole().is_ok());
        assert_eq!(messages.bytes.capacity(), 0);
    }

    #[test]
    fn nothing_else_is_taken() {
        // HelloRequest, ClientHello, CertificateRequest, Finished, and what does not exist.
        for typ in [0, 1, 13, 20, 99] {
            for client in [true, false] {
                let seen = all(&mut Messages::new(client), &[typ, 0, 0, 0]);
                assert!(matches!(seen, Err(Error::InappropriateHandshakeMessage { .. })));
            }
        }
        let ticket = all(&mut Messages::new(false), &[4, 0, 0, 0]);
        assert!(
            matches!(ticket, Err(Error::InappropriateHandshakeMessage { .. })),
            "a server takes no ticket"
        );
        let endless = all(&mut Messages::new(true), &[4, 1, 0, 1]);
        assert_eq!(endless, Err(InvalidMessage::HandshakePayloadTooLarge.into()));
        assert!(Messages::new(true).add(&[]).is_err());
    }
}
