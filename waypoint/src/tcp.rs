//! Connections that carry no requests: authorize -> route -> connect -> relay -> report.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ambit_app::outcome::{Counted, of_relay};
use ambit_hbone::Incoming;
use ambit_identity::application::Inside;
use ambit_model::Text;
use ambit_model::l7::destination_rule::{Algorithm, HashKey};
use ambit_policy::Verdict;
use ambit_policy::request::balance::{HashInput, hash_input};
use ambit_policy::request::limit::Permit;
use ambit_policy::request::outlier::Outcome;
use ambit_policy::request::{Choice, Destination, Request, StreamOutcome};
use ambit_telemetry::flags::ResponseFlag;
use ambit_telemetry::report::{ConnectionReport, Failure, Severity};
use ambit_transport::{Ahead, CloseReason, Counters, relay};
use http::StatusCode;

use crate::destinations::{Call, Held, Wish};
use crate::hello::server_name;
use crate::network::{Network, Stream};
use crate::session::Session;
use crate::upstream::{Upstream, open};

/// A connection to an endpoint, and what it holds there.
struct Connected<S> {
    upstream: Upstream<S>,
    lifetime: Option<Duration>,
    idle: Option<Duration>,
    _held: Held,
    _connection: Permit,
}

/// Carries a connection to a port that is declared as TCP: the endpoint is dialled first, so that a failure is a status of
/// the CONNECT and not the end of a connection that seemed to stand.
pub async fn dial_first<N: Network>(session: Arc<Session<N>>, incoming: Incoming, start: Instant) {
    let mut report = session.connection_report(start);
    let connected = match connect(&session, None, &mut report).await {
        Ok(connected) => connected,
        Err(failure) => {
            let (status, details) = match failure.flag() {
                ResponseFlag::Deny => (StatusCode::UNAUTHORIZED, "denied by policy"),
                _ => (StatusCode::SERVICE_UNAVAILABLE, "no endpoint of the service could be reached"),
            };
            if let Err(gone) = incoming.refuse(status, details) {
                tracing::debug!(%gone, "a refused client did not wait for the answer");
            }
            return report.finish(Err(failure));
        }
    };
    let outcome = match incoming.accept(None) {
        Ok(stream) => join(&session, stream, connected, &report).await,
        Err(gone) => Err(Failure::new(ResponseFlag::None, gone).with_severity(Severity::Information)),
    };
    report.finish(outcome);
}

/// Whether it matters which server a TLS client asks for.
pub fn asks_for_server<N: Network>(session: &Session<N>) -> bool {
    let rules = session.rules();
    !rules.stream_policies.is_empty() || !rules.streams(session.target.port()).is_empty()
}

/// Carries a connection to a port that is declared as TLS, by the server that the client asks for.
pub async fn by_server_name<N: Network, S: Stream>(session: Arc<Session<N>>, client: S, start: Instant) {
    let mut client = Ahead::new(client);
    let name = tokio::select! {
        name = server_name(&mut client) => name,
        () = session.drain.immediate() => None,
    };
    carry_named(session, client, name, start).await;
}

/// Carries a connection whose first bytes, or silence, showed that it is TCP.
pub async fn carry<N: Network, S: Stream>(session: Arc<Session<N>>, client: S, start: Instant) {
    carry_named(session, client, None, start).await;
}

async fn carry_named<N: Network, S: Stream>(
    session: Arc<Session<N>>,
    mut client: S,
    server_name: Option<Text>,
    start: Instant,
) {
    let mut report = session.connection_report(start);
    let outcome = match connect(&session, server_name, &mut report).await {
        Ok(connected) => join(&session, client, connected, &report).await,
        Err(failure) => {
            client.abort();
            Err(failure)
        }
    };
    report.finish(outcome);
}

async fn connect<N: Network>(
    session: &Session<N>,
    server_name: Option<Text>,
    report: &mut ConnectionReport,
) -> Result<Connected<N::Stream>, Failure> {
    let (call, key) = admit(session, server_name, report)?;
    let place = call.choose(Wish { hash: key, ..Wish::default() }, &mut rand::rng());
    let place = place.map_err(Failure::connect)?.clone();
    report.destination(place.endpoint.workload.clone()).destination_address(place.endpoint.address);
    let full = "as many connections as there may be are open: connectionPool.tcp.maxConnections";
    let connection = call.current.connections.take().ok_or_else(|| Failure::connect(full))?;
    report.opened();
    let request = |authority| session.connect_request(authority);
    let mut held = call.connect(&place);
    let host = &*call.destination.service().hostname;
    let opened = open(&session.proxy, &call.current, &place.endpoint, Inside::Bytes, host, request).await;
    match opened {
        Ok(upstream) => {
            held.tell(Outcome::Status(200));
            let pool = call.current.policy().connections.unwrap_or_default();
            let (lifetime, idle) = (pool.max_duration, pool.tcp_idle_timeout);
            Ok(Connected { upstream, lifetime, idle, _held: held, _connection: connection })
        }
        Err(error) => {
            held.failed();
            Err(Failure::connect(error))
        }
    }
}

/// Whether the connection may pass, where to, and what a consistent hash goes by.
fn admit<N: Network>(
    session: &Session<N>,
    server_name: Option<Text>,
    report: &mut ConnectionReport,
) -> Result<(Call, Option<u64>), Failure> {
    let rules = session.rules();
    let destination = match server_name {
        Some(_) => Arc::new(Destination { server_name, ..(*session.destination).clone() }),
        None => session.destination.clone(),
    };
    let stream = Request::of_stream(session.caller.clone(), destination);
    let deny = |report: &mut ConnectionReport, reason: String| {
        // As Istio counts: a connection was opened, whatever policy says to it.
        report.opened();
        Err(Failure::denied(reason))
    };
    if !rules.stream_policies.is_empty() {
        if let Some((provider, asked)) = rules.stream_policies.providers(&stream).first() {
            let reason =
                format!("{asked}: provider {provider} decides about requests, and these bytes are none");
            return deny(report, reason);
        }
        let judgement = rules.stream_policies.judge(&stream);
        for matched in &judgement.audited {
            tracing::info!(target: "access", client = %stream.client.ip, "connection audited by {matched}");
        }
        for dry_run in &judgement.dry_run {
            tracing::info!(target: "access", client = %stream.client.ip, "{dry_run}");
        }
        if let Verdict::Deny { reason } = judgement.verdict {
            return deny(report, reason.to_string());
        }
    }
    let table = rules.streams(session.target.port());
    let backend = match table.route(&stream.client, &stream.destination) {
        StreamOutcome::NoRoutes => None,
        StreamOutcome::NoMatch => {
            return Err(Failure::connect("no route of the service matches the connection"));
        }
        StreamOutcome::Unreadable(why) => {
            return Err(Failure::connect(format!("a route cannot be read: {why}")));
        }
        StreamOutcome::Rule(rule) => match (rule.invalid(), rule.choose(&mut rand::rng())) {
            (Some(why), _) | (None, Choice::Invalid(why)) => return Err(Failure::connect(why)),
            (None, Choice::Nowhere) => return Err(Failure::connect("the route leads nowhere")),
            (None, Choice::Backend { backend, .. }) => Some(&backend.to),
        },
    };
    let call = session.call(backend).map_err(Failure::connect)?;
    if let (Some(_), Some(service)) = (backend, call.current.service()) {
        report.service(service.clone());
    }
    let balancer = call.current.policy().load_balancer.as_ref();
    let hash = match balancer.map(|each| &each.algorithm) {
        Some(Algorithm::Hash { of: of @ HashKey::SourceIp, .. }) => match hash_input(of, &stream) {
            HashInput::Hash(hash) => Some(hash),
            HashInput::New(_) | HashInput::Nothing => None,
        },
        _ => None,
    };
    Ok((call, hash))
}

async fn join<N: Network, S: Stream>(
    session: &Session<N>,
    client: S,
    connected: Connected<N::Stream>,
    report: &ConnectionReport,
) -> Result<(), Failure> {
    let Connected { upstream, lifetime, idle, _held, _connection } = connected;
    let counted = Watched { counted: Counted(report), moved: AtomicBool::new(false) };
    let cut = async {
        tokio::select! {
            () = session.drain.immediate() => CloseReason::Drain,
            () = after(lifetime) => CloseReason::Policy("maxConnectionDuration".to_owned()),
            () = counted.silence(idle) => CloseReason::Policy("idleTimeout".to_owned()),
        }
    };
    of_relay(relay(client, upstream, &counted, session.proxy.limits(), cut).await)
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// Counts bytes, and knows whether any were moved of late.
struct Watched<'r> {
    counted: Counted<'r>,
    moved: AtomicBool,
}

impl Watched<'_> {
    /// Waits until nothing was moved for `idle`, and less than twice as long: nothing is timed while bytes flow.
    async fn silence(&self, idle: Option<Duration>) {
        loop {
            self.moved.store(false, Ordering::Relaxed);
            after(idle).await;
            if !self.moved.load(Ordering::Relaxed) {
                return;
            }
        }
    }
}

impl Counters for Watched<'_> {
    fn sent(&self, bytes: u64) {
        self.moved.store(true, Ordering::Relaxed);
        self.counted.sent(bytes);
    }

    fn received(&self, bytes: u64) {
        self.moved.store(true, Ordering::Relaxed);
        self.counted.received(bytes);
    }
}
