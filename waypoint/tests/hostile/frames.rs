//! HTTP/2 requests that are none: each stream is reset or refused, none reaches the application.

use ambit_hbone::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::shop::Shop;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Header fields as literals that no table keeps (RFC 7541 section 6.2.2).
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// The length of a string that is not Huffman-coded (RFC 7541 section 5.1).
pub(crate) fn length(block: &mut Vec<u8>, length: usize) {
    if length < 127 {
        return block.push(length as u8);
    }
    block.push(127);
    let mut rest = length - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// The fields of a good request for a path.
pub(crate) fn get(path: &str) -> Vec<(&str, &str)> {
    vec![(":method", "GET"), (":scheme", "http"), (":authority", "cart"), (":path", path)]
}

/// What a stream was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Reset, with the code.
    Reset(u32),
    /// The connection is given up, with the code.
    GoAway(u32),
    /// The connection ended without a word.
    Closed,
    /// Answered, with the first octet of the head.
    Answered(u8),
}

/// Reads until something is said about the stream, or the connection ends.
pub(crate) async fn told(connection: &mut Stream, about: u32) -> Told {
    loop {
        let mut head = [0; 9];
        if connection.read_exact(&mut head).await.is_err() {
            return Told::Closed;
        }
        let [a, b, c, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if connection.read_exact(&mut payload).await.is_err() {
            return Told::Closed;
        }
        let code = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match kind {
            RST_STREAM if u32::from_be_bytes(stream) == about => return Told::Reset(code(0)),
            GOAWAY if code(4) != 0 => return Told::GoAway(code(4)),
            HEADERS if u32::from_be_bytes(stream) == about => return Told::Answered(payload[0]),
            _ => {}
        }
    }
}

/// `:status 200` and `:status 400` as the library writes them.
pub(crate) const OK: u8 = 0x88;
const BAD_REQUEST: u8 = 0x8c;

/// That these frames on stream 1 are refused in one way or another, before the application.
async fn refused(cases: &[(&str, Vec<u8>)]) {
    let shop = Shop::open().await;
    for (name, frames) in cases {
        let mut connection = shop.connect().await;
        // It may be cut off before the end.
        connection.write_all(&[PREFACE, frames].concat()).await.ok();
        let told = told(&mut connection, 1).await;
        assert!(
            matches!(told, Told::Reset(_) | Told::GoAway(_) | Told::Closed | Told::Answered(BAD_REQUEST)),
            "{name}: {told:?}"
        );
        assert_eq!(shop.reached(), 0, "{name} reached the application");
    }
    shop.goes_on().await;
}

fn request(fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(fields))
}

fn with(further: (&'static str, &'static str)) -> Vec<u8> {
    let mut fields = get("/");
    fields.push(further);
    request(&fields)
}

fn without(name: &str) -> Vec<u8> {
    let fields: Vec<_> = get("/").into_iter().filter(|(each, _)| *each != name).collect();
    request(&fields)
}

#[tokio::test(start_paused = true)]
async fn a7_pseudo_headers() {
    let all = get("/");
    let mut regular_first = vec![("x-a", "b")];
    regular_first.extend(&all);
    let mut both_hosts = all.clone();
    both_hosts.push(("host", "admin"));
    let replaced = |name: &str, value: &'static str| {
        let fields: Vec<_> =
            get("/").into_iter().map(|(each, old)| (each, if each == name { value } else { old })).collect();
        request(&fields)
    };
    refused(&[
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no path", without(":path")),
        ("no authority and no host", without(":authority")),
        ("two methods", with((":method", "POST"))),
        ("two paths", with((":path", "/admin"))),
        ("two schemes", with((":scheme", "https"))),
        ("two authorities", with((":authority", "admin"))),
        ("an unknown pseudo header", with((":secret", "b"))),
        ("a status in a request", with((":status", "200"))),
        ("a protocol without CONNECT", with((":protocol", "websocket"))),
        ("a pseudo header after a header", request(&regular_first)),
        ("a host that differs", request(&both_hosts)),
        ("an empty path", replaced(":path", "")),
        ("a path without slash", replaced(":path", "admin")),
        ("a star", replaced(":path", "*")),
        ("a URL for a path", replaced(":path", "http://admin/")),
        ("a space in the path", replaced(":path", "/a b")),
        ("a line end in the path", replaced(":path", "/a\r\nx: y")),
        ("NUL in the path", replaced(":path", "/a\0")),
        ("an empty method", replaced(":method", "")),
        ("a method with a space", replaced(":method", "GET /")),
        ("a method in lower case", replaced(":method", "get")),
        ("user information", replaced(":authority", "user@cart")),
        ("a path in the authority", replaced(":authority", "cart/admin")),
        ("a line end in the authority", replaced(":authority", "cart\r\nx: y")),
        ("an empty authority", replaced(":authority", "")),
        ("a foreign scheme", replaced(":scheme", "ftp")),
        ("a line end in the scheme", replaced(":scheme", "http\r\nx: y")),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a7_headers_of_other_versions() {
    refused(&[
        ("a name in upper case", with(("X-A", "b"))),
        ("an empty name", with(("", "b"))),
        ("a name with a space", with(("x a", "b"))),
        ("a name with a colon", with(("x:a", "b"))),
        ("a name with a line end", with(("x\r\na", "b"))),
        ("a line end in a value", with(("x-a", "b\r\nc: d"))),
        ("a line feed in a value", with(("x-a", "b\nc"))),
        ("NUL in a value", with(("x-a", "b\0"))),
        ("connection", with(("connection", "close"))),
        ("keep-alive", with(("keep-alive", "5"))),
        ("proxy-connection", with(("proxy-connection", "keep-alive"))),
        ("transfer-encoding", with(("transfer-encoding", "chunked"))),
        ("upgrade", with(("upgrade", "websocket"))),
        ("te other than trailers", with(("te", "gzip"))),
        ("te with trailers and more", with(("te", "trailers, gzip"))),
        ("two hosts", with(("host", "cart, admin"))),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn a7_lengths_and_data_that_differ() {
    let length = |lengths: &[&'static str], data: &[&[u8]]| {
        let mut fields = get("/");
        fields[0].1 = "POST";
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        let flags = if data.is_empty() { END_HEADERS | END_STREAM } else { END_HEADERS };
        let mut frames = frame(HEADERS, flags, 1, &block(&fields));
        for (at, piece) in data.iter().enumerate() {
            let last = if at + 1 == data.len() { END_STREAM } else { 0 };
            frames.extend(frame(DATA, last, 1, piece));
        }
        frames
    };
    refused(&[
        ("two lengths", length(&["5", "6"], &[b"hello"])),
        ("the same length twice", length(&["5", "5"], &[b"hello"])),
        ("a list of lengths", length(&["5, 5"], &[b"hello"])),
        ("a length with a sign", length(&["+5"], &[b"hello"])),
        ("a length in words", length(&["five"], &[b"hello"])),
        ("a length that overflows", length(&["99999999999999999999"], &[b"hello"])),
        ("an end where a body was announced", length(&["5"], &[])),
    ])
    .await;

    // The head is passed on as it comes; the body never ends well.
    let (mesh, mut streams) = crate::shop::raw(ambit_model::service::AppProtocol::Http11).await;
    let tunnel = mesh.tunnel("web", crate::shop::WEB).await;
    for (name, frames) in [
        ("too little", length(&["5"], &[b"he"])),
        ("too much", length(&["5"], &[b"hello, ", b"GET /smuggled HTTP/1.1\r\n\r\n"])),
        ("too much at once", length(&["5"], &[b"helloGET /smuggled HTTP/1.1\r\n\r\n"])),
    ] {
        let mut connection = crate::mesh::ask(&tunnel, crate::shop::CART).await.unwrap();
        connection.write_all(&[PREFACE, &frames].concat()).await.unwrap();
        assert!(!matches!(told(&mut connection, 1).await, Told::Answered(OK)), "{name}");
        while let Ok((mut application, _)) = streams.try_recv() {
            let mut got = Vec::new();
            application.read_to_end(&mut got).await.ok();
            let got = String::from_utf8_lossy(&got);
            assert!(!got.contains("/smuggled") && !got.ends_with("hello"), "{name}: {got}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frames_where_none_may_be() {
    let good = request(&get("/"));
    let open = frame(HEADERS, END_HEADERS, 1, &block(&get("/")));
    let settings = |id: u8, value: u32| frame(SETTINGS, 0, 0, &[&[0, id], &value.to_be_bytes()[..]].concat());
    refused(
        &[
            ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"x")),
            ("HEADERS on stream 0", frame(HEADERS, END_HEADERS | END_STREAM, 0, &block(&get("/")))),
            ("HEADERS on an even stream", frame(HEADERS, END_HEADERS | END_STREAM, 2, &block(&get("/")))),
            ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &block(&get("/")))),
            (
                "another frame inside a head",
                [frame(HEADERS, END_STREAM, 1, &block(&get("/"))), frame(PING, 0, 0, &[0; 8])].concat(),
            ),
            ("PUSH_PROMISE from a client", [open.clone(), frame(5, END_HEADERS, 1, &[0, 0, 0, 2])].concat()),
            ("a window of 0", [open.clone(), frame(WINDOW_UPDATE, 0, 1, &[0; 4])].concat()),
            ("a frame that is too large", frame(DATA, 0, 1, &vec![0; 16 * 1024 * 1024 - 1])),
            ("a PING that is too short", frame(PING, 0, 0, &[0; 4])),
            ("SETTINGS on a stream", frame(SETTINGS, 0, 1, &[])),
            ("SETTINGS of 5 octets", frame(SETTINGS, 0, 0, &[0; 5])),
            ("a window that is too large", settings(4, u32::MAX)),
            ("a frame size that is too small", settings(5, 1)),
            (
                "padding that is longer than the frame",
                frame(HEADERS, END_HEADERS | END_STREAM | 8, 1, &[255, 0]),
            ),
            ("a block that ends in a string", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 100, b'a'])),
            ("an index that no table has", frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0x7f])),
            (
                "a table size beyond the limit",
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x3f, 0xff, 0xff, 0x7f]),
            ),
            (
                "a Huffman string of padding",
                frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0, 0x84, 255, 255, 255, 255, 0]),
            ),
        ]
        .map(|(name, frames)| {
            (
                name,
                if name == "a window that is too large" { [frames, good.clone()].concat() } else { frames },
            )
        }),
    )
    .await;
}

/// Windows that overflow end the stream or the connection (RFC 9113 section 6.9.1), after the request has gone on.
#[tokio::test(start_paused = true)]
async fn windows_that_overflow() {
    for stream in [0, 1] {
        let shop = Shop::open().await;
        let mut connection = shop.connect().await;
        let open = frame(HEADERS, END_HEADERS, 1, &block(&get("/")));
        let overflow = frame(WINDOW_UPDATE, 0, stream, &0x7fff_ffffu32.to_be_bytes());
        connection.write_all(&[PREFACE, &open, &overflow].concat()).await.unwrap();
        let told = told(&mut connection, 1).await;
        assert!(matches!(told, Told::Reset(3) | Told::GoAway(3)), "{told:?}");
        shop.goes_on().await;
    }
}

/// Streams beyond the limit are refused, those below it are served.
#[tokio::test(start_paused = true)]
async fn streams_beyond_the_limit_are_refused() {
    let shop = Shop::open().await;
    let mut connection = shop.connect().await;
    connection.write_all(PREFACE).await.unwrap();
    let open = block(&get("/"));
    let mut frames = Vec::new();
    for number in 0..=1000u32 {
        frames.extend(frame(HEADERS, END_HEADERS, 2 * number + 1, &open));
    }
    connection.write_all(&frames).await.unwrap();
    assert_eq!(told(&mut connection, 2001).await, Told::Reset(7), "REFUSED_STREAM");
    shop.goes_on().await;
}
