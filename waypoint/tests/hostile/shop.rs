//! The mesh that hostile peers meet: a waypoint, an application that counts what reaches it, and raw bytes on both sides.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::http::{Request, Response, Version};
use ambit_hbone::{Connection, Stream};
use ambit_model::service::AppProtocol;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::http::{Body, client1, empty, hear, serve, text};
use crate::mesh::{Mesh, ask};

pub(crate) const WEB: &str = "10.0.0.1";
pub(crate) const CART_1: &str = "10.0.0.2";
pub(crate) const CART: &str = "10.1.0.1:80";
/// What is asked to see that all is well.
const ALIVE: &str = "/alive";

/// A waypoint before a counting application, and a client's tunnel to it.
pub(crate) struct Shop {
    pub(crate) mesh: Mesh,
    pub(crate) tunnel: Connection,
    reached: Arc<AtomicUsize>,
    alive: Arc<AtomicUsize>,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        Self::speaking(AppProtocol::Http11, Version::HTTP_11).await
    }

    /// With an application that speaks this, as its port declares.
    pub(crate) async fn speaking(protocol: AppProtocol, version: Version) -> Self {
        let mesh = Mesh::new(protocol).await;
        let reached = Arc::new(AtomicUsize::new(0));
        let alive = Arc::new(AtomicUsize::new(0));
        let (counted, living) = (reached.clone(), alive.clone());
        serve(mesh.endpoint("cart", CART_1).await, version, move |request: Request<Incoming>| {
            let count = if request.uri().path() == ALIVE { &living } else { &counted };
            count.fetch_add(1, Ordering::SeqCst);
            answer(request)
        });
        let tunnel = mesh.tunnel("web", WEB).await;
        Self { mesh, tunnel, reached, alive }
    }

    /// Requests that have reached the application, but for those of [`Shop::goes_on`].
    pub(crate) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// A connection to the cart.
    pub(crate) async fn connect(&self) -> Stream {
        ask(&self.tunnel, CART).await.unwrap()
    }

    /// What these bytes are answered until the waypoint closes.
    pub(crate) async fn told(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        let mut told = Vec::new();
        // A reset instead of an end is an answer too.
        stream.read_to_end(&mut told).await.ok();
        String::from_utf8_lossy(&told).into_owned()
    }

    /// That the waypoint goes on, in the same tunnel and with other clients.
    pub(crate) async fn goes_on(&self) {
        let before = self.alive.load(Ordering::SeqCst);
        let other = self.mesh.tunnel("other", "10.0.0.7").await;
        for tunnel in [&self.tunnel, &other] {
            let mut client = client1(ask(tunnel, CART).await.unwrap()).await;
            let request = Request::get(ALIVE).header("host", "cart").body(empty()).unwrap();
            let heard = hear(client.send_request(request).await.unwrap()).await;
            assert_eq!((heard.status, heard.text()), (200, "served /alive"));
        }
        assert_eq!(self.alive.load(Ordering::SeqCst), before + 2);
    }
}

/// Answers with the path, when the body has ended well.
async fn answer(request: Request<Incoming>) -> Response<Body> {
    use http_body_util::BodyExt;
    let target = request.uri().path_and_query().unwrap().to_string();
    if request.into_body().collect().await.is_err() {
        return Response::builder().status(400).body(empty()).unwrap();
    }
    Response::new(text(&format!("served {target}")))
}

/// A waypoint before an application that is written byte by byte: what comes out of its connections.
pub(crate) async fn raw(protocol: AppProtocol) -> (Mesh, mpsc::UnboundedReceiver<(Stream, u16)>) {
    let mesh = Mesh::new(protocol).await;
    let streams = mesh.endpoint("cart", CART_1).await;
    (mesh, streams)
}

/// The status of the first answer in these bytes.
pub(crate) fn status(told: &str) -> &str {
    let rest = told.strip_prefix("HTTP/1.1 ").or(told.strip_prefix("HTTP/1.0 "));
    rest.and_then(|rest| rest.get(..3)).unwrap_or_default()
}

/// Reads one head of HTTP/1.
pub(crate) async fn head(stream: &mut Stream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

/// Memory of this process that is in use, in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
