//! Where are a pod's connections accepted, and which worker carries each?
//!
//! An idle pod costs three listeners and one task, on one worker, its home. Each connection goes to the worker that
//! carries the fewest: the kernel's choice among listeners of several workers (`SO_REUSEPORT`) is a hash, which puts
//! two busy tunnels on one worker as often as not.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ambit_app::Workers;
use ambit_app::runtime::load::Load;
use ambit_model::traffic::ports;
use ambit_transport::peer::canonical;
use ambit_transport::{Accepted, Listeners, Socket, Watch, accept_loop, original_destination};
use tokio::net::TcpStream;

use crate::inbound::tunnel;
use crate::network::Ends;
use crate::outbound::outbound;
use crate::plaintext::plaintext;
use crate::pod::{Pod, PodSocketError};
use crate::proxy::Proxy;

/// The ports of a pod that are listened on, in the order of [`Capture::carry`].
const PORTS: [u16; 3] = [ports::OUTBOUND, ports::INBOUND_PLAINTEXT, ports::HBONE];

/// The workers with their proxies, as those who accept see them.
#[derive(Debug)]
pub struct Capture {
    workers: Arc<Workers>,
    proxies: Vec<Arc<Proxy>>,
    load: Load,
}

impl Capture {
    /// One proxy for each worker; they count what they carry in `load`.
    pub fn new(workers: Arc<Workers>, proxies: Vec<Arc<Proxy>>, load: Load) -> Self {
        Self { workers, proxies, load }
    }

    /// The proxy of each worker.
    pub fn proxies(&self) -> &[Arc<Proxy>] {
        &self.proxies
    }

    /// Opens the pod's listeners and accepts on the worker `home` until the drain.
    ///
    /// # Errors
    /// The namespace cannot be entered, a port is taken, or there is no worker.
    pub fn start(self: &Arc<Self>, home: usize, pod: &Arc<Pod>, drain: &Watch) -> Result<(), PodSocketError> {
        let stopped = || io::Error::other("no worker is there to serve it");
        let proxy = self.proxies.get(home).ok_or_else(stopped)?;
        let worker = self.workers.handle(home).ok_or_else(stopped)?;
        let listeners = pod.listen(PORTS, &proxy.settings)?;
        let _on_worker = worker.enter();
        let listeners = Listeners::watch(listeners)?;
        // Whichever worker carries a connection dials for this pod, and finds every neighbour's door open.
        for proxy in &self.proxies {
            proxy.pods.lock().insert(pod.instance.clone(), pod.clone());
        }
        let doors: Vec<_> = self.proxies.iter().map(|proxy| proxy.doors.open(pod, drain)).collect();
        let (capture, pod, connections) = (self.clone(), pod.clone(), drain.clone());
        // The task is the loop itself: whatever is put around it would be kept for every idle pod.
        worker.spawn(accept_loop(listeners, drain.clone(), move |accepted| {
            let _open = &doors;
            capture.carry(home, &pod, &connections, accepted);
        }));
        Ok(())
    }

    /// Starts the flow of one connection.
    fn carry(&self, home: usize, pod: &Arc<Pod>, drain: &Watch, accepted: Accepted) {
        let captured = original_destination;
        let tunnelled = |stream: &TcpStream, _| stream.local_addr().map(canonical);
        match accepted.listener {
            0 => self.spawn(home, pod, drain, accepted, captured, outbound),
            1 => self.spawn(home, pod, drain, accepted, captured, plaintext),
            _ => self.spawn(home, pod, drain, accepted, tunnelled, tunnel),
        }
    }

    /// Spawns `flow` on the worker that carries the fewest. `target` tells where the connection was going.
    fn spawn<F, Fut>(
        &self,
        home: usize,
        pod: &Arc<Pod>,
        drain: &Watch,
        accepted: Accepted,
        target: fn(&TcpStream, SocketAddr) -> io::Result<SocketAddr>,
        flow: F,
    ) where
        F: FnOnce(Arc<Proxy>, Arc<Pod>, Socket, Ends, Watch) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let seat = self.load.take(home);
        let proxy = self.proxies.get(seat.worker()).cloned();
        let (Some(proxy), Some(worker)) = (proxy, self.workers.handle(seat.worker())) else { return };
        let (pod, drain) = (pod.clone(), drain.clone());
        worker.spawn(async move {
            let Accepted { stream, peer, .. } = accepted;
            // Here, so that only the runtime that carries it ever watches it.
            let watched = TcpStream::from_std(stream);
            match watched.and_then(|stream| Ok((target(&stream, peer)?, stream))) {
                Ok((destination, stream)) => {
                    flow(proxy, pod, stream.into(), Ends { peer, destination }, drain).await;
                }
                Err(error) => tracing::debug!(%peer, %error, "a connection was gone before it was looked at"),
            }
            drop(seat);
        });
    }
}
