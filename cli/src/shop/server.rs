//! What does each program of the shop answer, and whom does it ask for that?

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Channel, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::client::{Client, Signature};

/// Largest request body that is read.
const LARGEST: usize = 1 << 20;
/// Between two pieces of the feed.
const TICK: Duration = Duration::from_millis(50);
/// What a listener does after the system refused it a connection (no descriptors left).
const PAUSE: Duration = Duration::from_millis(100);

type Body = BoxBody<Bytes, Infallible>;

/// Serves every connection until the process ends.
pub(crate) async fn serve(listener: TcpListener, client: Arc<Client>) {
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&client, peer, request));
            // The client went away: its own business.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    client: &Client,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    // Read whole, so that the connection can be used again and a marker in the body does arrive.
    if Limited::new(body, LARGEST).collect().await.is_err() {
        return Ok(status(StatusCode::PAYLOAD_TOO_LARGE, &json!({ "error": "at most 1 MiB" })));
    }
    let name = &*client.name;
    let mut page =
        json!({ "shop": name, "marker": &*client.marker, "you": peer.ip().to_canonical().to_string() });
    let signed = Signature::passed_on(&head.headers);
    let ask = |method, url| client.call(None, method, url, &signed);
    let answered = match (name, &head.method, head.uri.path()) {
        ("catalog", &Method::GET, "/feed") => return Ok(feed(client)),
        ("web", &Method::GET, "/") => {
            page["catalog"] = parsed(ask("GET", "http://catalog/items").await);
            page["cart"] = parsed(ask("GET", "http://cart/items").await);
            true
        }
        ("web", &Method::POST, "/checkout") => {
            page["cart"] = parsed(ask("POST", "http://cart/checkout").await);
            !page["cart"].is_null()
        }
        ("cart", &Method::GET, "/items") => {
            page["items"] = json!([{ "item": "teapot", "count": 2 }]);
            true
        }
        ("cart", &Method::POST, "/checkout") => {
            page["catalog"] = parsed(ask("GET", "http://catalog/items").await);
            page["payments"] = parsed(ask("POST", "http://payments/charge").await);
            !page["catalog"].is_null() && !page["payments"].is_null()
        }
        ("catalog", &Method::GET, "/items") | ("catalog", &Method::POST, "/search") => {
            page["items"] = json!([{ "item": "teapot", "price": 19 }, { "item": "tea", "price": 4 }]);
            true
        }
        ("payments", &Method::POST, "/charge") => {
            page["charged"] = json!(38);
            true
        }
        ("offers" | "offers-v2", &Method::GET, "/items" | "/members") => {
            page["items"] = json!([{ "item": "teapot", "off": "10 %" }]);
            true
        }
        ("offers" | "offers-v2", &Method::GET, "/best") => {
            page["prices"] = parsed(ask("GET", "http://prices/today").await);
            !page["prices"].is_null()
        }
        ("prices", &Method::GET, "/today") => {
            page["items"] = json!([{ "item": "teapot", "price": 19 }]);
            true
        }
        ("prices", &Method::GET, "/broken") => {
            return Ok(status(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "shop": name, "error": "a bug" })));
        }
        ("outsider", &Method::GET, "/") => true,
        _ => return Ok(status(StatusCode::NOT_FOUND, &json!({ "shop": name, "error": "no such page" }))),
    };
    Ok(status(if answered { StatusCode::OK } else { StatusCode::BAD_GATEWAY }, &page))
}

/// Prices, piece after piece, for as long as somebody listens.
fn feed(client: &Client) -> Response<Body> {
    let (mut sender, body) = Channel::<Bytes, Infallible>::new(4);
    let marker = client.marker.clone();
    tokio::spawn(async move {
        for price in (0_u64..).map(|round| 19 + round % 3) {
            let piece = format!("{{\"item\":\"teapot\",\"price\":{price},\"marker\":\"{marker}\"}}\n");
            if sender.send_data(piece.into()).await.is_err() {
                return;
            }
            tokio::time::sleep(TICK).await;
        }
    });
    Response::new(body.boxed())
}

fn status(status: StatusCode, page: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(format!("{page}\n").into()).boxed());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// An answer of another program, as part of ours.
fn parsed(body: Option<Bytes>) -> Value {
    body.and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or(Value::Null)
}
