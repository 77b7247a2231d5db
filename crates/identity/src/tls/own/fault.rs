//! Which alert tells the peer what was wrong with its records (RFC 8446 section 6.2).

use rustls::{AlertDescription, ContentType, Error, InvalidMessage};

/// The alert for an error of ours, `None` where the peer has told us.
pub(super) fn alert_of(error: &Error) -> Option<AlertDescription> {
    Some(match error {
        Error::AlertReceived(_) => return None,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => AlertDescription::IllegalParameter,
        Error::InvalidMessage(InvalidMessage::InvalidEmptyPayload)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        _ => AlertDescription::InternalError,
    })
}

/// A record of a type that has no place here.
pub(super) fn inappropriate(got_type: ContentType) -> Error {
    let expect_types = vec![ContentType::ApplicationData, ContentType::Handshake, ContentType::Alert];
    Error::InappropriateMessage { expect_types, got_type }
}
