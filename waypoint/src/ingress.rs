//! Connections from outside of the mesh, to the listeners of a Gateway: accept -> listener -> requests.

pub mod doors;
pub mod secured;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ambit_identity::outside;
use ambit_model::Text;
use ambit_model::l7::gateway::Protocol;
use ambit_model::service::AppProtocol;
use ambit_policy::request::Scheme;
use ambit_telemetry::requests::RequestFlags;
use ambit_transport::{Ahead, Watch};
use http::StatusCode;

use secured::Secured;

use crate::network::{Network, Stream};
use crate::protocol::{Carries, carries};
use crate::proxy::{Ends, Proxy};
use crate::reply::Reply;
use crate::rules::ServiceRules;
use crate::rules::listeners::Listeners;
use crate::server;
use crate::session::{Client, Session};
use crate::target::Target;

/// A client that has sent nothing for so long is not waited for any more.
const FIRST_BYTES: Duration = Duration::from_secs(60);

/// Where a connection came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrance {
    /// The address that was dialled; its port is the listener's.
    pub local: SocketAddr,
    /// The listener that the client's TLS handshake was for; `None` in the clear.
    pub secured: Option<Text>,
}

/// Why no rules apply to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoListener {
    /// No listener of the port has it.
    #[error("no listener of the gateway has this host")]
    Unknown,
    /// Another listener than that of the connection has it.
    #[error("another listener of the gateway has this host; open a connection for it")]
    Misdirected,
}

impl Entrance {
    /// How clients speak here.
    pub fn scheme(&self) -> Scheme {
        if self.secured.is_some() { Scheme::Https } else { Scheme::Http }
    }

    /// What applies to requests for a host that come in here.
    ///
    /// # Errors
    /// No listener has it, or not the one that the connection is for.
    pub fn rules(&self, listeners: &Listeners, host: &str) -> Result<Arc<ServiceRules>, NoListener> {
        let listener = listeners.find(self.local.port(), host).ok_or(NoListener::Unknown)?;
        match &self.secured {
            Some(secured) if *secured != listener.name => Err(NoListener::Misdirected),
            _ => Ok(listener.rules.clone()),
        }
    }
}

impl NoListener {
    /// What the client is told (Gateway API, Gateway.spec.listeners: 404, or 421 on a connection for somebody else).
    pub fn reply(self) -> Reply {
        match self {
            Self::Unknown => {
                Reply::new(StatusCode::NOT_FOUND, RequestFlags::NO_ROUTE, "", "listener_not_found")
            }
            Self::Misdirected => {
                let flags = RequestFlags::NO_ROUTE;
                Reply::new(StatusCode::MISDIRECTED_REQUEST, flags, self.to_string(), "misdirected_request")
            }
        }
    }
}

/// Serves one connection to a port of the Gateway's until it ends.
pub async fn connection<N: Network, S: Stream>(
    proxy: Arc<Proxy<N>>,
    mut stream: S,
    ends: Ends,
    drain: Watch,
) {
    match proxy.rules.listeners().protocol(ends.local.port()) {
        Some(Protocol::Http) => {
            let session = session(proxy, ends, None, drain);
            Box::pin(requests(session, stream)).await;
        }
        Some(Protocol::Https) => {
            if let Some((stream, chosen)) = Box::pin(handshake(&proxy, stream, ends)).await {
                let session = session(proxy, ends, Some(chosen), drain);
                Box::pin(requests(session, stream)).await;
            }
        }
        // The listener has gone since.
        _ => stream.abort(),
    }
}

/// Speaks TLS as the listener that the client's server name belongs to, which is given with that name.
async fn handshake<N: Network, S: Stream>(
    proxy: &Proxy<N>,
    mut stream: S,
    ends: Ends,
) -> Option<(Secured<S>, (Text, Option<Text>))> {
    let Some(_seat) = proxy.handshakes.take(ends.peer.ip()) else {
        stream.abort();
        return None;
    };
    let listeners = proxy.rules.listeners();
    let choose = |name: Option<&str>| {
        let listener = listeners.find(ends.local.port(), name.unwrap_or_default())?;
        let certificate = listener.certificate.as_ref()?.certificate.clone();
        Some((certificate, (listener.name.clone(), name.map(Text::from))))
    };
    let accepted = outside::accept(stream, choose).await;
    let accepted = accepted.inspect_err(|error| tracing::debug!(peer = %ends.peer, %error, "TLS refused"));
    accepted.ok().map(|(stream, chosen)| (Secured(stream), chosen))
}

/// Serves requests, in whichever version of HTTP the client speaks.
async fn requests<N: Network, S: Stream>(session: Session<N>, stream: S) {
    let session = Arc::new(session);
    let mut stream = Ahead::new(stream);
    let reading = tokio::time::timeout(FIRST_BYTES, carries(&mut stream, AppProtocol::Http11, FIRST_BYTES));
    let carried = tokio::select! {
        Ok(carried) = reading => carried,
        // Until its first byte it is nobody's request.
        _ = session.drain.signaled() => return,
        else => return,
    };
    match carried {
        Carries::Http2 => Box::pin(server::http2(session, stream)).await,
        Carries::Http1 | Carries::Tcp => Box::pin(server::http1(session, stream)).await,
    }
}

fn session<N: Network>(
    proxy: Arc<Proxy<N>>,
    ends: Ends,
    secured: Option<(Text, Option<Text>)>,
    drain: Watch,
) -> Session<N> {
    let Ends { peer, local } = ends;
    let (secured, server_name) = secured.map_or((None, None), |(listener, name)| (Some(listener), name));
    let settings = &proxy.settings;
    let gateway = format!("{}/{}", settings.namespace, settings.gateway);
    let destination = ambit_policy::request::Destination {
        ip: Some(local.ip()),
        port: local.port(),
        gateway: Some(gateway.into()),
        server_name,
    };
    Session {
        client: Client { address: peer, identity: None, workload: None },
        target: Target::Entrance(Entrance { local, secured }),
        authority: ambit_hbone::Authority::Address(local),
        caller: ambit_policy::request::Client::plaintext(peer.ip()).into(),
        destination: destination.into(),
        certificate_header: None,
        switched: Arc::default(),
        drain,
        proxy,
    }
}
