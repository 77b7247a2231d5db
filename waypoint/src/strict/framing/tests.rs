//! Requests that are followed to their end, and what is found at fault, whatever the pieces they come in.

use proptest::prelude::*;

use super::*;

/// The first fault in these bytes, in one piece and byte by byte.
fn fault(bytes: &[u8]) -> Option<Fault> {
    let whole = Framing::default().follow(bytes).err().map(|(_, fault)| fault);
    let mut framing = Framing::default();
    let pieces = bytes.iter().find_map(|byte| framing.follow(&[*byte]).err()).map(|(_, fault)| fault);
    assert_eq!(whole, pieces, "{}", bytes.escape_ascii());
    whole
}

#[test]
fn requests_follow_each_other() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab\n\0cGET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\na\nb\r\n0\r\nx-t: 1\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nhost:\r\n\r\n",
    ] {
        let mut framing = Framing::default();
        framing.follow(bytes).unwrap();
        assert_eq!((framing.at, framing.is_in_head()), (At::Start, false));
        assert_eq!(fault(bytes), None);
    }
}

#[test]
fn what_two_readers_could_read_differently_is_at_fault() {
    let head = |lines: &str| format!("POST / HTTP/1.1\r\nhost: a\r\n{lines}\r\n\r\n").into_bytes();
    for (bytes, expected) in [
        (head("content-length: 1\r\ntransfer-encoding: chunked"), Fault::Length),
        (head("transfer-encoding: chunked\r\ncontent-length: 1"), Fault::Length),
        (head("content-length: 1\r\ncontent-length: 1"), Fault::Length),
        (head("content-length: 1\r\ncontent-length: 2"), Fault::Length),
        (head("transfer-encoding: chunked\r\ntransfer-encoding: chunked"), Fault::Coding),
        (head("transfer-encoding: chunked\r\ntransfer-encoding: identity"), Fault::Coding),
        (head("transfer-encoding:\r\n chunked"), Fault::Coding),
        (head("x-a: b\r\n c"), Fault::HeaderLine),
        (head("x-a: b\n c: d"), Fault::LineEnd),
        (head("x-a: b\rc"), Fault::Octet),
        (head("host: b"), Fault::Host),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Fault::Host),
        (b"GET / HTTP/1.1\nhost: a\n\n".to_vec(), Fault::LineEnd),
        (b"GET / HTTP/1.1\r\nhost: a\r\n\n".to_vec(), Fault::LineEnd),
        (b"\r\n\r\nGET / HTTP/1.1\r\n".to_vec(), Fault::RequestLine),
        (b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), Fault::Coding),
        (b"CONNECT a:1 HTTP/1.1\r\nhost: a:1\r\ncontent-length: 1\r\n\r\n".to_vec(), Fault::Length),
        (b"TRACE / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), Fault::Coding),
    ] {
        assert_eq!(fault(&bytes), Some(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn chunks_are_followed_to_the_byte() {
    let chunks = |chunks: &str| {
        format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}").into_bytes()
    };
    let long = format!("1;{}\r\n", "x".repeat(CHUNK_LINE));
    let trailers = format!("0\r\n{}\r\n", "x-t: yyyyyyyyyyyy\r\n".repeat(1000));
    for (bytes, expected) in [
        (chunks("3\nabc"), Fault::LineEnd),
        (chunks("3\r\nabcd\r\n"), Fault::Chunk),
        (chunks("3\r\nabc0\r\n"), Fault::Chunk),
        (chunks("3\r\nabc\n0\r\n"), Fault::LineEnd),
        (chunks("-3\r\n"), Fault::Chunk),
        (chunks("ffffffffffffffffff\r\n"), Fault::Chunk),
        (chunks("3;a\nb\r\n"), Fault::LineEnd),
        (chunks(&long), Fault::Chunk),
        (chunks("0\r\ncontent-length: 3\r\n\r\n"), Fault::Trailer),
        (chunks("0\r\nhost: b\r\n\r\n"), Fault::Trailer),
        (chunks("0\r\ntransfer-encoding: chunked\r\n\r\n"), Fault::Trailer),
        (chunks(&trailers), Fault::TooLong),
    ] {
        assert_eq!(fault(&bytes), Some(expected), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_at_fault_does_not_end_in_what_is_in_order() {
    let first = b"GET /1 HTTP/1.1\r\nhost: a\r\n\r\n";
    let second =
        b"POST /2 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    let (passed, fault) = Framing::default().follow(&[&first[..], second].concat()).unwrap_err();
    assert_eq!(fault, Fault::Length);
    let both = [&first[..], second].concat();
    assert!(passed >= first.len() && !both[first.len()..passed].ends_with(b"\r\n\r\n"), "{passed}");
    let (passed, _) = Framing::default().follow(b"GET / HTTP/1.1\r\n\r\n").unwrap_err();
    assert_eq!(passed, b"GET / HTTP/1.1\r\n\r".len(), "all but the last LF");
}

#[test]
fn a_line_without_end_is_not_kept() {
    let mut framing = Framing::default();
    let faults = (0..1000).find_map(|_| framing.follow(&[b'x'; 1000]).err());
    assert_eq!(faults.map(|(_, fault)| fault), Some(Fault::TooLong));
}

proptest! {
    #[test]
    fn no_bytes_panic_and_pieces_do_not_matter(text in "(POST / HTTP/1.1\r\n|host: a\r\n|content-length: [0-9]\r\n|transfer-encoding: chunked\r\n|\r\n|\n|\r|[0-9a-f]\r\n|[a-z \0:]){0,12}") {
        fault(text.as_bytes());
    }
}
