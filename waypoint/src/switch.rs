//! A connection that changes its protocol (WebSocket): once the endpoint has agreed with 101, its bytes are relayed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use ambit_policy::request::strip_connection;
use ambit_telemetry::requests::{RequestBytes, RequestFlags, RequestReport};
use ambit_transport::{Abort, CloseReason, Counters, RelayError, relay};
use http::Response;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::{ResponseBody, head_size};
use crate::network::Network;
use crate::onward::Answered;
use crate::session::Session;

/// Passes the endpoint's 101 on, and from then on the bytes of both sides.
pub fn switch<N: Network>(
    session: &Arc<Session<N>>,
    client: OnUpgrade,
    answered: Answered,
    mut report: RequestReport,
) -> Response<ResponseBody> {
    let Answered { mut response, mut lease, .. } = answered;
    let held = lease.take_held();
    let endpoint = hyper::upgrade::on(&mut response);
    let (mut head, _) = response.into_parts();
    let to = head.headers.get(UPGRADE).cloned();
    strip_connection(&mut head.headers, false);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(to) = to {
        head.headers.insert(UPGRADE, to);
    }
    head.extensions.clear();
    report.code(head.status.as_u16()).details("via_upstream");
    report.bytes().response(head_size(&head.headers));
    session.switched.store(true, Ordering::Relaxed);
    let session = session.clone();
    tokio::spawn(async move {
        let _held = held;
        let bytes = report.bytes();
        let streams = futures_util::future::try_join(client, endpoint);
        let streams = tokio::select! {
            streams = streams => streams,
            () = session.drain.immediate() => {
                report.flag(RequestFlags::DRAINED);
                return report.finish();
            }
        };
        match streams {
            Ok((client, endpoint)) => {
                let cut = async {
                    session.drain.immediate().await;
                    CloseReason::Drain
                };
                let (client, endpoint) = (Switched::new(client), Switched::new(endpoint));
                let ended = relay(client, endpoint, &Counted(bytes), session.proxy.limits(), cut).await;
                if let Err(RelayError::Closed { .. }) = ended {
                    report.flag(RequestFlags::DRAINED);
                }
            }
            Err(error) => {
                report.flag(RequestFlags::ENDED_BY_ENDPOINT).details(format!("upgrade_failed{{{error}}}"));
            }
        }
        report.finish();
    });
    Response::from_parts(head, ResponseBody::unreported())
}

struct Counted(Arc<RequestBytes>);

impl Counters for Counted {
    fn sent(&self, bytes: u64) {
        self.0.request(bytes);
    }

    fn received(&self, bytes: u64) {
        self.0.response(bytes);
    }
}

/// A connection after its change of protocol. It knows no reset: its drop is one where the stream below has one.
///
/// The lock is never taken, only asked for its content: it makes the stream fit to be held by a task that may move.
struct Switched(Mutex<TokioIo<Upgraded>>);

impl Switched {
    fn new(upgraded: Upgraded) -> Self {
        Self(Mutex::new(TokioIo::new(upgraded)))
    }
}

impl Abort for Switched {
    fn abort(&mut self) {}
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.0.get_mut()).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.0.get_mut()).poll_shutdown(cx)
    }
}
