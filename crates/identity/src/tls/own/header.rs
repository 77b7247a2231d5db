//! Where does a protected record end? (RFC 8446 section 5.2.)

use rustls::{ContentType, Error};

use super::fault::inappropriate;

/// Bytes of a record's header.
pub(super) const LENGTH: usize = 5;
/// Most bytes behind the header: 2^14 of plaintext and 256 for type, padding and tag.
const MOST: usize = 16 * 1024 + 256;
/// Most bytes behind any header of TLS, as rustls bounds them: what is longer is refused unread.
pub(super) const MOST_EVER: usize = 16 * 1024 + 2048;

/// The length of the record that `bytes` begin with, `None` when it is not all there. After the handshake every record
/// is protected: its header has one type and one version. Both are checked here, since they are authenticated only as
/// constants: a header that says anything else would not pass the tag of a cipher that is given the header as it came.
pub(super) fn whole_record(bytes: &[u8]) -> Result<Option<usize>, Error> {
    let [typ, major, minor, high, low, ..] = *bytes else { return Ok(None) };
    match ContentType::from(typ) {
        ContentType::ApplicationData => {}
        other => return Err(inappropriate(other)),
    }
    if (major, minor) != (3, 3) {
        return Err(Error::DecryptError);
    }
    let body = usize::from(u16::from_be_bytes([high, low]));
    if body > MOST {
        return Err(Error::PeerSentOversizedRecord);
    }
    let length = LENGTH + body;
    Ok((bytes.len() >= length).then_some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_protected_records_pass() {
        assert_eq!(whole_record(&[]), Ok(None));
        assert_eq!(whole_record(&[99, 99, 99, 99]), Ok(None));
        assert_eq!(whole_record(&[23, 3, 3, 0, 2, 1]), Ok(None));
        assert_eq!(whole_record(&[23, 3, 3, 0, 2, 1, 2]), Ok(Some(7)));
        assert_eq!(whole_record(&[23, 3, 3, 0, 2, 1, 2, 23, 3]), Ok(Some(7)));
        assert_eq!(whole_record(&[23, 3, 3, 0x41, 0]), Ok(None));
        assert_eq!(whole_record(&[23, 3, 3, 0x41, 1]), Err(Error::PeerSentOversizedRecord));
        for typ in [0, 20, 21, 22, 24, 25, 255] {
            assert!(matches!(whole_record(&[typ, 3, 3, 0, 1]), Err(Error::InappropriateMessage { .. })));
        }
        for version in [[3, 1], [3, 4], [2, 3], [0, 0]] {
            assert_eq!(whole_record(&[23, version[0], version[1], 0, 1]), Err(Error::DecryptError));
        }
    }
}
