//! The h2 crate's encoder read by our decoder, and ours by its decoder, as frames over a pipe.

use http::{HeaderName, HeaderValue, Request, Response};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::{DEFAULT_TABLE, Decoder, Fields, decode};
use crate::engine::hpack::encode;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The next header block, or `None` at an acknowledgement of SETTINGS.
async fn next(io: &mut DuplexStream) -> Option<Vec<u8>> {
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        io.read_exact(&mut payload).await.unwrap();
        match (head[3], head[4]) {
            (HEADERS, flags) => {
                assert_eq!(flags & 0x2c, 4, "whole, neither padded nor with priority");
                return Some(payload);
            }
            (SETTINGS, 1) => return None,
            _ => {}
        }
    }
}

type List = Vec<(String, String, bool)>;

fn lists() -> impl Strategy<Value = Vec<List>> {
    // Few names and values, so that they come again and are indexed.
    let name = prop_oneof![Just("baggage"), Just("forwarded"), Just("x-a"), Just("cookie"), Just("accept")];
    let value = prop_oneof![Just("one".to_owned()), "[ -~]{0,60}".prop_map(|text| text.trim().to_owned())];
    let field = (name.prop_map(str::to_owned), value, any::<bool>());
    prop::collection::vec(prop::collection::vec(field, 0..8), 1..8)
}

fn add(headers: &mut http::HeaderMap, list: &List) {
    for (name, value, sensitive) in list {
        let mut value = HeaderValue::from_str(value).unwrap();
        value.set_sensitive(*sensitive);
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
}

fn sorted(list: &List, pseudo: &[(&str, &str)]) -> Fields {
    let fields = list.iter().map(|(name, value, _)| (name.as_str(), value.as_str()));
    let octets = |(name, value): (&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let mut fields: Fields = pseudo.iter().copied().chain(fields).map(octets).collect();
    fields.sort();
    fields
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(test);
}

async fn read_its_requests(lists: Vec<List>, table: u32) {
    let (ours, mut theirs) = duplex(1 << 20);
    let setting = [&[0, 1][..], &table.to_be_bytes()].concat();
    theirs.write_all(&frame(SETTINGS, 0, 0, &setting)).await.unwrap();
    let (mut send, connection) = h2::client::handshake(ours).await.unwrap();
    let driving = tokio::spawn(connection);
    theirs.read_exact(&mut [0; 24]).await.unwrap();
    assert_eq!(next(&mut theirs).await, None);
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    decoder.set_max_table(table as usize);
    for list in &lists {
        let mut request = Request::connect("10.0.0.2:8080").body(()).unwrap();
        add(request.headers_mut(), list);
        send = send.ready().await.unwrap();
        let _opened = send.send_request(request, true).unwrap();
        let mut fields = decode(&mut decoder, &next(&mut theirs).await.unwrap()).unwrap();
        fields.sort();
        assert_eq!(fields, sorted(list, &[(":method", "CONNECT"), (":authority", "10.0.0.2:8080")]));
    }
    driving.abort();
}

async fn speak_to_its_server(lists: Vec<List>) {
    let (mut ours, theirs) = duplex(1 << 20);
    ours.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let mut connection = h2::server::handshake(theirs).await.unwrap();
    let mut decoder = Decoder::new(DEFAULT_TABLE);
    for (list, stream) in lists.iter().zip((1..).step_by(2)) {
        let mut block = Vec::new();
        encode(&mut block, b":method", b"CONNECT");
        encode(&mut block, b":authority", b"10.0.0.2:8080");
        for (name, value, _) in list {
            encode(&mut block, name.as_bytes(), value.as_bytes());
        }
        ours.write_all(&frame(HEADERS, 5, stream, &block)).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        assert_eq!(request.uri().to_string(), "10.0.0.2:8080");
        let seen = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap().to_owned(), false)
        };
        let seen: List = request.headers().iter().map(seen).collect();
        assert_eq!(sorted(&seen, &[]), sorted(list, &[]));

        let mut response = Response::new(());
        add(response.headers_mut(), list);
        respond.send_response(response, true).unwrap();
        let answer = tokio::spawn(async move {
            loop {
                if let Some(block) = next(&mut ours).await {
                    return (ours, block);
                }
            }
        });
        let (back, block) = tokio::select! {
            answer = answer => answer.unwrap(),
            other = connection.accept() => panic!("{other:?}"),
        };
        ours = back;
        let mut fields = decode(&mut decoder, &block).unwrap();
        fields.sort();
        assert_eq!(fields, sorted(list, &[(":status", "200")]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn its_requests_are_read(
        lists in lists(),
        table in prop_oneof![Just(0), Just(100), Just(4096), Just(65_536)],
    ) {
        run(read_its_requests(lists, table));
    }

    #[test]
    fn ours_are_read_and_its_responses(lists in lists()) {
        run(speak_to_its_server(lists));
    }
}
