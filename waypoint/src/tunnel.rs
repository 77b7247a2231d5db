//! The inbound flow: a tunnel of a client's proxy, and each connection in it. accept (TLS, CONNECT) -> target ->
//! protocol -> requests, or bytes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ambit_hbone::{Authority, Incoming};
use ambit_identity::tls::{self, TlsStream};
use ambit_model::service::AppProtocol;
use ambit_model::{Identity, Text, Workload};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::labels::Reporter;
use ambit_telemetry::report::{ConnectionReport, Failure, HboneTarget, Severity};
use ambit_transport::{Abort, Ahead, Watch};
use http::{HeaderValue, StatusCode};

use crate::network::{Network, Stream};
use crate::protocol::{Carries, carries};
use crate::proxy::{Ends, Proxy};
use crate::session::{Client, Session};
use crate::target::target;
use crate::{server, tcp};

/// Longest wait for this proxy's own certificate.
const CERTIFICATE_PATIENCE: Duration = Duration::from_secs(5);

/// A tunnel as far as its streams need to know it.
#[derive(Debug)]
struct Tunnel<N: Network> {
    proxy: Arc<Proxy<N>>,
    ends: Ends,
    identity: Identity,
    drain: Watch,
}

/// Serves one connection to the tunnel port until it ends.
pub async fn tunnel<N: Network, S: Stream>(proxy: Arc<Proxy<N>>, stream: S, ends: Ends, drain: Watch) {
    let start = Instant::now();
    let (stream, tunnel) = match Box::pin(handshake(&proxy, stream, ends, &drain)).await {
        Ok(accepted) => accepted,
        Err(failure) => {
            let Ends { peer, local } = ends;
            let report = ConnectionReport::accepted(&proxy.traffic, Reporter::Waypoint, start, peer, local);
            report.finish(Err(failure));
            return;
        }
    };
    let tunnel = Arc::new(tunnel);
    let serve = ambit_hbone::serve(stream, &proxy.tunnel_server, drain, |incoming| {
        Box::pin(connection(tunnel.clone(), incoming))
    });
    if let Err(error) = Box::pin(serve).await {
        tracing::debug!(peer = %ends.peer, identity = %tunnel.identity, %error, "inbound tunnel ended");
    }
}

async fn handshake<N: Network, S: Stream>(
    proxy: &Arc<Proxy<N>>,
    mut stream: S,
    ends: Ends,
    drain: &Watch,
) -> Result<(TlsStream<S>, Tunnel<N>), Failure> {
    let Some(_seat) = proxy.handshakes.take(ends.peer.ip()) else {
        stream.abort();
        let reason = "too many handshakes are under way, in all or from this address";
        return Err(Failure::new(ResponseFlag::TlsFailure, reason).with_severity(Severity::Debug));
    };
    let own = &proxy.settings.identity;
    let unprepared = |reason: String| Failure::new(ResponseFlag::IdentityError, reason);
    let certificate = match tokio::time::timeout(CERTIFICATE_PATIENCE, proxy.certificate()).await {
        Ok(Ok(certificate)) => certificate,
        Ok(Err(error)) => return Err(unprepared(format!("no certificate for {own}: {error}"))),
        Err(_) => {
            return Err(unprepared(format!("no certificate for {own} within {CERTIFICATE_PATIENCE:?}")));
        }
    };
    let (stream, identity) = tls::accept_with(proxy.settings.tls, stream, &certificate)
        .await
        .map_err(|error| Failure::new(ResponseFlag::TlsFailure, error).with_severity(Severity::Warning))?;
    Ok((stream, Tunnel { proxy: proxy.clone(), ends, identity, drain: drain.clone() }))
}

/// One CONNECT of a tunnel, from the request to its end.
async fn connection<N: Network>(tunnel: Arc<Tunnel<N>>, incoming: Incoming) {
    let start = Instant::now();
    let _seat = tunnel.proxy.seat();
    let session = match tunnel.session(&incoming) {
        Ok(session) => Arc::new(session),
        Err(reason) => return tunnel.refuse(incoming, start, &reason.to_string()),
    };
    let declared = session.target.protocol();
    let by_server = declared == AppProtocol::Tls && tcp::asks_for_server(&session);
    if matches!(declared, AppProtocol::Tcp | AppProtocol::Tls) && !by_server {
        return Box::pin(tcp::dial_first(session, incoming, start)).await;
    }
    let stream = match incoming.accept(None) {
        Ok(stream) => stream,
        Err(gone) => {
            let gone = Failure::new(ResponseFlag::None, gone).with_severity(Severity::Information);
            return session.connection_report(start).finish(Err(gone));
        }
    };
    if by_server {
        return Box::pin(tcp::by_server_name(session, stream, start)).await;
    }
    let mut stream = Ahead::new(stream);
    let patience = tunnel.proxy.settings.detection;
    let carried = tokio::select! {
        carried = carries(&mut stream, declared, patience) => carried,
        // Until its first byte it is nobody's request.
        _ = tunnel.drain.signaled(), if declared != AppProtocol::Unknown => return stream.abort(),
        () = tunnel.drain.immediate() => return stream.abort(),
    };
    match carried {
        Carries::Tcp => Box::pin(tcp::carry(session, stream, start)).await,
        Carries::Http1 => Box::pin(server::http1(session, stream)).await,
        Carries::Http2 => Box::pin(server::http2(session, stream)).await,
    }
}

impl<N: Network> Tunnel<N> {
    fn session(&self, incoming: &Incoming) -> Result<Session<N>, crate::target::BadTarget> {
        let (proxy, settings) = (&self.proxy, &self.proxy.settings);
        let snapshot = proxy.configuration.snapshot();
        let own = proxy.own(&snapshot);
        let authority = incoming.authority().clone();
        let target = target(&snapshot, settings, &own, &self.identity, &authority)?;
        let peer = snapshot.workload_at(&own.workload.network, self.ends.peer.ip());
        let workload = peer.filter(|workload| workload.identity == self.identity).cloned();
        let client = Client { address: self.ends.peer, identity: Some(self.identity.clone()), workload };
        let mesh = proxy.rules.mesh();
        let domain = self.identity.trust_domain();
        let caller = ambit_policy::request::Client {
            identity: Some(self.identity.clone()),
            foreign: *domain != mesh.trust_domain && !mesh.trust_domain_aliases.contains(domain),
            ip: self.ends.peer.ip(),
            labels: labels(proxy, client.workload.as_deref()),
        };
        let ip = match &authority {
            Authority::Address(address) => Some(address.ip()),
            Authority::Host { .. } => None,
        };
        let port = target.port();
        let destination = ambit_policy::request::Destination { ip, port, gateway: None, server_name: None };
        let certificate_header = if settings.client_identity {
            certificate_header(&settings.identity, &self.identity)
        } else {
            None
        };
        Ok(Session {
            proxy: proxy.clone(),
            client,
            target,
            authority,
            caller: caller.into(),
            destination: destination.into(),
            certificate_header,
            switched: Arc::default(),
            drain: self.drain.clone(),
        })
    }

    fn refuse(&self, incoming: Incoming, start: Instant, reason: &str) {
        let Ends { peer, local } = self.ends;
        let mut report =
            ConnectionReport::accepted(&self.proxy.traffic, Reporter::Waypoint, start, peer, local);
        report.source_identity(self.identity.clone());
        report.hbone_target(match incoming.authority() {
            Authority::Address(address) => HboneTarget::Address(*address),
            Authority::Host { hostname, port } => HboneTarget::Name(hostname.clone(), *port),
        });
        if let Err(gone) = incoming.refuse(StatusCode::BAD_REQUEST, reason) {
            tracing::debug!(%gone, "a refused client did not wait for the answer");
        }
        report.finish(Err(Failure::connect(reason)));
    }
}

fn labels<N: Network>(proxy: &Proxy<N>, workload: Option<&Workload>) -> Vec<(Text, Text)> {
    let labels = workload.and_then(|workload| proxy.rules.labels(&workload.uid));
    labels.map(|labels| labels.to_vec()).unwrap_or_default()
}

/// Envoy's form of the header, of what this proxy has checked itself.
fn certificate_header(own: &Identity, client: &Identity) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("By={own};URI={client}")).ok()
}
