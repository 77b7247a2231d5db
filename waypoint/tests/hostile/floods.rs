//! Frames and streams in numbers that no honest client has: the connection is closed, the process does not grow, and
//! others are served meanwhile (R1 to R7).

use std::time::Duration;

use ambit_hbone::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get, length,
};
use crate::shop::{Shop, resident};

const MIB: usize = 1024 * 1024;

/// Writes `flood` up to a million times behind `first` while reading what comes; gives how often it was taken before
/// the connection was closed, and the code of the GOAWAY.
async fn flood(shop: &Shop, first: &[u8], flood: impl Fn(u32) -> Vec<u8>) -> (u32, Option<u32>) {
    let (mut reader, mut writer) = tokio::io::split(shop.connect().await);
    let before = resident();
    let reading = tokio::spawn(async move {
        let mut last = None;
        loop {
            match next(&mut reader).await {
                Some((7, payload)) => {
                    last = Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
                }
                Some(_) => {}
                None => return last,
            }
        }
    });
    writer.write_all(&[PREFACE, first].concat()).await.unwrap();
    let mut sent = 0;
    while sent < 1_000_000 {
        let frames: Vec<u8> = (sent..sent + 100).flat_map(&flood).collect();
        if writer.write_all(&frames).await.is_err() {
            break;
        }
        sent += 100;
        if reading.is_finished() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 48 * MIB, "{grown} bytes more");
    assert!(sent < 1_000_000, "nobody stopped the flood");
    let told = tokio::time::timeout(Duration::from_secs(600), reading).await.expect("it is closed").unwrap();
    (sent, told)
}

async fn next(reader: &mut tokio::io::ReadHalf<Stream>) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    reader.read_exact(&mut head).await.ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    reader.read_exact(&mut payload).await.ok()?;
    Some((head[3], payload))
}

const CALM: Option<u32> = Some(11);

#[tokio::test(start_paused = true)]
async fn r1_rapid_reset() {
    let shop = Shop::open().await;
    let open = block(&get("/"));
    let (sent, _) = flood(&shop, &[], |number| {
        let stream = 2 * number + 1;
        let open = frame(HEADERS, END_HEADERS | END_STREAM, stream, &open);
        [open, frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
    })
    .await;
    assert!(sent < 20_000, "{sent}");
    // What was opened is closed again: nothing is left of it behind the waypoint.
    shop.mesh.counted("istio_requests_total", &["response_flags="]).await;
    let other = shop.mesh.tunnel("other", "10.0.0.7").await;
    let mut client = crate::http::client1(crate::mesh::ask(&other, crate::shop::CART).await.unwrap()).await;
    let request = ::http::Request::get("/").header("host", "cart").body(crate::http::empty()).unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
}

/// Streams that the server resets, because the client breaks the rules in each (CVE-2025-8671).
#[tokio::test(start_paused = true)]
async fn r2_made_you_reset() {
    let shop = Shop::open().await;
    let open = block(&get("/"));
    let (sent, _) = flood(&shop, &[], |number| {
        let stream = 2 * number + 1;
        let open = frame(HEADERS, END_HEADERS, stream, &open);
        [open, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    })
    .await;
    assert!(sent < 20_000, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn r3_continuation_flood() {
    let shop = Shop::open().await;
    let first = frame(HEADERS, END_STREAM, 1, &block(&get("/")));
    let (sent, _) = flood(&shop, &first, |_| frame(CONTINUATION, 0, 1, &block(&[("x-a", "b")]))).await;
    assert!(sent <= 200, "{sent}");
    assert_eq!(shop.reached(), 0);
    shop.goes_on().await;
}

/// A cookie that is in the table once and named ten thousand times (RFC 7541 section 7.3).
#[tokio::test(start_paused = true)]
async fn r4_header_table_bomb() {
    let shop = Shop::open().await;
    let mut connection = shop.connect().await;
    let before = resident();
    let mut head = block(&get("/"));
    // Kept in the table, as its newest entry: 62.
    head.push(0x40);
    head.push(6);
    head.extend(b"cookie");
    length(&mut head, 4000);
    head.extend([b'a'; 4000]);
    head.extend([0x80 | 62; 10_000]);
    let bomb = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
    connection.write_all(&[PREFACE, &bomb].concat()).await.unwrap();
    let told = crate::frames::told(&mut connection, 1).await;
    assert!(!matches!(told, crate::frames::Told::Answered(crate::frames::OK)), "{told:?}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "{grown} bytes for a head of {} bytes", head.len());
    assert_eq!(shop.reached(), 0);
    shop.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn r5_empty_data_flood() {
    let shop = Shop::open().await;
    let first = frame(HEADERS, END_HEADERS, 1, &block(&get("/")));
    let (sent, _) = flood(&shop, &first, |_| frame(DATA, 0, 1, &[])).await;
    assert!(sent <= 20_000, "{sent}");
    shop.goes_on().await;
}

#[tokio::test(start_paused = true)]
async fn r6_floods_of_frames_that_ask_for_nothing() {
    let shop = Shop::open().await;
    for (name, each) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("SETTINGS with a window", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 0])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("an unknown frame", frame(0x55, 0, 0, &[0; 16])),
    ] {
        let (sent, told) = flood(&shop, &[], |_| each.clone()).await;
        assert!(sent <= 20_000, "{name}: {sent}");
        assert!(told == CALM || told.is_none(), "{name}: {told:?}");
    }
    shop.goes_on().await;
    shop.mesh.counted("istio_requests_total", &["response_flags=\"DPE\""]).await;
}

/// PINGs whose answers nobody reads do not pile up.
#[tokio::test(start_paused = true)]
async fn r6_answers_to_pings_that_nobody_reads() {
    let shop = Shop::open().await;
    let mut connection = shop.connect().await;
    let before = resident();
    connection.write_all(PREFACE).await.unwrap();
    let pings: Vec<u8> = frame(PING, 0, 0, &[0; 8]).repeat(1000);
    for _ in 0..10_000 {
        let written = tokio::time::timeout(Duration::from_secs(5), connection.write_all(&pings)).await;
        if !matches!(written, Ok(Ok(()))) {
            break;
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "{grown} bytes for PINGs");
    shop.goes_on().await;
}

/// Streams whose answers nobody reads hold what their windows hold, not more.
#[tokio::test(start_paused = true)]
async fn r7_window_stall() {
    let (mesh, mut streams) = crate::shop::raw(ambit_model::service::AppProtocol::Http11).await;
    tokio::spawn(async move {
        while let Some((mut application, _)) = streams.recv().await {
            tokio::spawn(async move {
                crate::shop::head(&mut application).await;
                let block = vec![0; 64 * 1024];
                application.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").await.ok();
                while application.write_all(&block).await.is_ok() {}
            });
        }
    });
    let tunnel = mesh.tunnel("web", crate::shop::WEB).await;
    let before = resident();
    let mut connection = crate::mesh::ask(&tunnel, crate::shop::CART).await.unwrap();
    // A window of 0 for all streams.
    let settings = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    connection.write_all(&[PREFACE, &settings].concat()).await.unwrap();
    let open = block(&get("/"));
    for number in 0..50 {
        connection.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &open)).await.unwrap();
    }
    assert!(matches!(crate::frames::told(&mut connection, 99).await, crate::frames::Told::Answered(_)));
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 160 * MIB, "{grown} bytes for 50 streams that nobody reads");
}
