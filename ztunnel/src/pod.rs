//! A pod as the agent handed it over: who it is, and the network namespace that its sockets are made in.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ambit_hbone::Baggage;
use ambit_model::{Identity, Snapshot, Text, Workload};
use ambit_netns::{EnterError, Namespace};
use ambit_transport::dial::{self, DialError, DialOptions};
use ambit_transport::listen::{self, ListenError, ListenOptions};
use ambit_xds::Configuration;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use crate::settings::Settings;

/// How long a connection waits for its pod's workload to arrive from the controller.
pub const WORKLOAD_PATIENCE: Duration = Duration::from_secs(5);

/// One enrolled pod. Identity is this name, namespace and service account, and the network namespace that they came
/// with: no address and no header says who a connection belongs to.
#[derive(Debug)]
pub struct Pod {
    /// The agent's key, in Kubernetes the pod's UID.
    pub uid: Text,
    /// This pod in this namespace: unlike the uid, never the same again, so that nothing made for a pod that was
    /// replaced is used for the one that took its place (A28).
    pub instance: Text,
    /// Pod name.
    pub name: Text,
    /// Kubernetes namespace.
    pub namespace: Text,
    /// Service account.
    pub service_account: Text,
    /// Network namespace.
    pub netns: Namespace,
    left: AtomicBool,
    baggage: Mutex<Told>,
}

/// What was last told of a pod's workload: the workload, and its `baggage`. A weak reference keeps the address from being
/// used again.
type Told = (Weak<Workload>, Option<HeaderValue>);

/// Why a pod's own workload cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownWorkload {
    /// The controller has not announced it.
    #[error(
        "pod {0}/{1} is not known to the controller: check that its Pod object is there and names this node"
    )]
    Absent(Text, Text),
    /// The agent and the controller do not agree on who it is.
    #[error(
        "pod {0}/{1} runs as service account {2} for the agent and {3} for the controller; waiting until they agree"
    )]
    Disagreement(Text, Text, Text, Text),
}

/// Why a socket could not be made in a pod's namespace.
#[derive(Debug, thiserror::Error)]
pub enum PodSocketError {
    /// The namespace cannot be entered.
    #[error(transparent)]
    Enter(#[from] EnterError),
    /// No listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The runtime does not take the socket.
    #[error("cannot watch a socket of the pod: {0}")]
    Register(#[from] io::Error),
}

impl Pod {
    /// A pod that the agent has just handed over.
    pub fn new(
        uid: String,
        namespace: String,
        name: String,
        service_account: String,
        netns: Namespace,
    ) -> Self {
        static HANDED_OVER: AtomicU64 = AtomicU64::new(0);
        let instance = format!("{uid}#{}", HANDED_OVER.fetch_add(1, Ordering::Relaxed)).into();
        Self {
            uid: uid.into(),
            instance,
            name: name.into(),
            namespace: namespace.into(),
            service_account: service_account.into(),
            netns,
            left: AtomicBool::new(false),
            baggage: Mutex::default(),
        }
    }

    /// Whether the identity is the pod's, in whatever trust domain.
    pub fn runs_as(&self, identity: &Identity) -> bool {
        *identity.namespace() == self.namespace && *identity.service_account() == self.service_account
    }

    /// The agent has taken the pod back.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Whether the agent has taken the pod back.
    pub fn has_left(&self) -> bool {
        self.left.load(Ordering::Relaxed)
    }

    /// The pod's workload in a snapshot, if agent and controller agree on who it is.
    pub fn workload(&self, snapshot: &Snapshot) -> Result<Arc<Workload>, UnknownWorkload> {
        let (namespace, name) = (self.namespace.clone(), self.name.clone());
        match snapshot.local_workload(&namespace, &name) {
            None => Err(UnknownWorkload::Absent(namespace, name)),
            Some(workload) if *workload.identity.service_account() == self.service_account => {
                Ok(workload.clone())
            }
            Some(workload) => Err(UnknownWorkload::Disagreement(
                namespace,
                name,
                self.service_account.clone(),
                workload.identity.service_account().clone(),
            )),
        }
    }

    /// [`Self::workload`], waiting up to [`WORKLOAD_PATIENCE`] for it to arrive.
    pub async fn known(&self, configuration: &Configuration) -> Result<Arc<Workload>, UnknownWorkload> {
        let found = configuration.wait(WORKLOAD_PATIENCE, |snapshot| self.workload(snapshot).ok()).await;
        found.map_or_else(|| self.workload(&configuration.snapshot()), Ok)
    }

    /// The `baggage` that tells peers of `own`, this pod's workload. Made anew when the workload changes.
    pub fn baggage(&self, own: &Arc<Workload>) -> Option<HeaderValue> {
        let mut told = self.baggage.lock();
        let (workload, baggage) = &mut *told;
        if !std::ptr::eq(workload.as_ptr(), Arc::as_ptr(own)) {
            *baggage = Baggage::from(&**own).encode();
            *workload = Arc::downgrade(own);
        }
        baggage.clone()
    }

    /// Listens on ports of the pod, on every address of both families.
    pub fn listen<const N: usize>(
        &self,
        ports: [u16; N],
        settings: &Settings,
    ) -> Result<[TcpListener; N], PodSocketError> {
        let wildcard: IpAddr = if settings.ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { [0, 0, 0, 0].into() };
        let options = ListenOptions {
            dual_stack: settings.ipv6,
            // During an upgrade the next version listens on the same ports.
            reuse_port: true,
            keepalive: settings.keepalive.clone(),
            ..ListenOptions::default()
        };
        let listen = |port| listen::tcp_listener(SocketAddr::new(wildcard, port), &options);
        let listeners: Vec<_> =
            self.netns.run(|| ports.into_iter().map(listen).collect::<Result<_, _>>())??;
        listeners.try_into().map_err(|_| io::Error::other("a listener is missing").into())
    }

    /// Dials from inside the pod.
    pub async fn dial(&self, options: &DialOptions, target: SocketAddr) -> Result<TcpStream, PodSocketError> {
        let socket = self.netns.run(|| dial::socket(options, target))??;
        Ok(dial::connect(socket, target, options.timeout).await?)
    }
}
