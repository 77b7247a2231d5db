//! Alerts after the handshake (RFC 8446 section 6).

use rustls::{AlertDescription, Error, InvalidMessage};

const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// What the peer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alert {
    /// It sends nothing more.
    CloseNotify,
    /// Some implementations send this before `close_notify`; it means nothing.
    UserCanceled,
    /// It has given up, whatever level it gives to that.
    Fatal(AlertDescription),
}

/// One record holds exactly one alert, whole.
pub(super) fn read(payload: &[u8]) -> Result<Alert, Error> {
    let (level, description) = match payload {
        [] => return Err(InvalidMessage::InvalidEmptyPayload.into()),
        [level, description] => (*level, AlertDescription::from(*description)),
        [_] => return Err(InvalidMessage::MessageTooShort.into()),
        _ => return Err(InvalidMessage::TrailingData("alert").into()),
    };
    Ok(match (description, level) {
        (AlertDescription::CloseNotify, _) => Alert::CloseNotify,
        (AlertDescription::UserCanceled, WARNING) => Alert::UserCanceled,
        (description, _) => Alert::Fatal(description),
    })
}

pub(super) fn close_notify() -> [u8; 2] {
    [WARNING, AlertDescription::CloseNotify.into()]
}

pub(super) fn fatal(description: AlertDescription) -> [u8; 2] {
    [FATAL, description.into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_two_bytes() {
        assert_eq!(read(&close_notify()), Ok(Alert::CloseNotify));
        assert_eq!(read(&[FATAL, 0]), Ok(Alert::CloseNotify));
        assert_eq!(read(&[WARNING, 90]), Ok(Alert::UserCanceled));
        assert_eq!(read(&[FATAL, 90]), Ok(Alert::Fatal(AlertDescription::UserCanceled)));
        for level in [WARNING, FATAL, 0, 200] {
            assert_eq!(read(&[level, 42]), Ok(Alert::Fatal(AlertDescription::BadCertificate)));
        }
        for wrong in [&[][..], &[2], &[2, 42, 0]] {
            assert!(matches!(read(wrong), Err(Error::InvalidMessage(_))));
        }
    }
}
