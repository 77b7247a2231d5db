//! One direction's key of a TLS 1.3 connection, and the number of the next record (RFC 8446 sections 5.2 and 5.3).

use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundChunks, OutboundPlainMessage,
};
use rustls::{
    ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, SupportedCipherSuite, Tls13CipherSuite,
};

/// A suite of TLS 1.3, the only version of the mesh.
pub(super) fn tls13(suite: SupportedCipherSuite) -> Result<&'static Tls13CipherSuite, Error> {
    suite.tls13().ok_or_else(|| Error::General("the connection is not TLS 1.3".into()))
}

/// Seals records. Each number is used once: it counts up before the cipher is called, so that a failure burns it.
pub(super) struct SealingKey {
    cipher: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl SealingKey {
    pub(super) fn new(
        suite: &Tls13CipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = key_and_iv(suite, secrets)?;
        Ok(Self { cipher: suite.aead_alg.encrypter(key, iv), sequence })
    }

    /// How many records were sealed with this key.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// One whole record, header and all.
    pub(super) fn seal(&mut self, typ: ContentType, payload: OutboundChunks<'_>) -> Result<Vec<u8>, Error> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Error::EncryptError)?;
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_3, payload };
        Ok(self.cipher.encrypt(message, sequence)?.encode())
    }
}

/// Opens records, in the order in which they were sealed and in no other.
pub(super) struct OpeningKey {
    cipher: Box<dyn MessageDecrypter>,
    sequence: u64,
}

impl OpeningKey {
    pub(super) fn new(
        suite: &Tls13CipherSuite,
        (sequence, secrets): (u64, ConnectionTrafficSecrets),
    ) -> Result<Self, Error> {
        let (key, iv) = key_and_iv(suite, secrets)?;
        Ok(Self { cipher: suite.aead_alg.decrypter(key, iv), sequence })
    }

    /// Opens the body of a record in place. The caller has checked its header: the cipher authenticates the header
    /// that RFC 8446 section 5.2 prescribes, not the one that came.
    pub(super) fn open<'a>(&mut self, body: &'a mut [u8]) -> Result<InboundPlainMessage<'a>, Error> {
        let sequence = self.sequence;
        self.sequence = sequence.checked_add(1).ok_or(Error::DecryptError)?;
        let sealed = InboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, body);
        self.cipher.decrypt(sealed, sequence)
    }
}

fn key_and_iv(suite: &Tls13CipherSuite, secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    let (key, iv) = match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (key, iv),
        _ => return Err(Error::General("the cipher of the connection is not known here".into())),
    };
    // Providers take it for granted.
    if key.as_ref().len() != suite.aead_alg.key_len() {
        return Err(Error::General("the key of the connection does not fit its cipher".into()));
    }
    Ok((key, iv))
}
