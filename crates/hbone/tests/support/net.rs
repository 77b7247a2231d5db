//! The other side of a pool: a connector whose every dial finds an echo server, unless something else is planned for it.

#![allow(dead_code)] // Each test file uses its part.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use ambit_hbone::{
    Buffered, ConnectError, Connector, Key, Pool, PoolSettings, ServeError, Served, ServerSettings, serve,
};
use ambit_model::Identity;
use ambit_transport::{Drain, Mode, drain};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::raw::Raw;
use crate::tunnel::{PIPE, client_settings, echo, server_settings};

/// What the next dial finds.
pub(crate) enum Next {
    Refused,
    Pipe(DuplexStream),
}

/// What a pool dials.
#[derive(Clone)]
pub(crate) struct Net {
    pub(crate) state: Arc<Mutex<State>>,
    /// A dial takes one; closed, dials go ahead at once.
    pub(crate) gate: Arc<Semaphore>,
}

pub(crate) struct State {
    pub(crate) dials: Vec<Key>,
    pub(crate) planned: VecDeque<Next>,
    pub(crate) most_streams: u32,
    pub(crate) servers: Vec<(Drain, JoinHandle<Result<Served, ServeError>>)>,
}

impl Net {
    pub(crate) fn new() -> Self {
        let state = State { dials: vec![], planned: VecDeque::new(), most_streams: 200, servers: vec![] };
        let gate = Semaphore::new(0);
        gate.close();
        Self { state: Arc::new(Mutex::new(state)), gate: Arc::new(gate) }
    }

    pub(crate) fn gated() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), ..Self::new() }
    }

    pub(crate) fn pool(&self) -> Pool<Self> {
        Pool::new(self.clone(), PoolSettings { client: client_settings(), ..PoolSettings::default() })
    }

    pub(crate) fn dials(&self) -> usize {
        self.state.lock().unwrap().dials.len()
    }

    pub(crate) fn plan(&self, next: Next) {
        self.state.lock().unwrap().planned.push_back(next);
    }

    /// A peer spoken by hand for the next dial.
    pub(crate) fn plan_raw(&self) -> Raw {
        let (ours, theirs) = duplex(PIPE);
        self.plan(Next::Pipe(ours));
        Raw { io: theirs }
    }

    pub(crate) fn drain_server(&self, number: usize, mode: Mode) {
        self.state.lock().unwrap().servers[number].0.drain(mode);
    }
}

impl Connector for Net {
    type Io = Buffered<DuplexStream>;

    async fn connect(&self, key: &Key) -> Result<Buffered<DuplexStream>, ConnectError> {
        self.state.lock().unwrap().dials.push(key.clone());
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        let mut state = self.state.lock().unwrap();
        match state.planned.pop_front() {
            Some(Next::Refused) => Err(ConnectError::dial(io::Error::from(io::ErrorKind::ConnectionRefused))),
            Some(Next::Pipe(pipe)) => Ok(Buffered::new(pipe)),
            None => {
                let (ours, theirs) = duplex(PIPE);
                let (drain, watch) = drain::channel();
                let settings = ServerSettings { max_streams: state.most_streams, ..server_settings() };
                let serving =
                    tokio::spawn(async move { serve(Buffered::new(theirs), &settings, watch, echo).await });
                state.servers.push((drain, serving));
                Ok(Buffered::new(ours))
            }
        }
    }
}

pub(crate) fn key(pod: &str) -> Key {
    let source = Identity::new("cluster.local", "default", "client").unwrap();
    let expected = ["spiffe://cluster.local/ns/default/sa/echo".into()];
    Key::new(source, pod.into(), "10.0.0.2:15008".parse().unwrap(), Arc::new(expected))
}
