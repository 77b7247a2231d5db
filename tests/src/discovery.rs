//! A controller of the tests' own, which says what no real one would: any bytes as a resource.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ambit_identity::{Authority, Provider, ServingCertificate, serving};
use ambit_model::workload::Tunnel;
use ambit_model::{Identity, Workload};
use ambit_xds::server::{ClientView, Mount, Server, serve_connection};
use ambit_xds::{Node, Store};
use tonic::metadata::MetadataMap;

use crate::mesh::Mesh;
use crate::pod::Pod;
use crate::topology::Side;

/// The port beside the real controller's.
pub const PORT: u16 = 15112;

/// Serves a store over TLS with a certificate of the mesh's own root, in the first node.
pub fn serve(mesh: &Mesh, store: &Store) -> SocketAddr {
    let address = SocketAddr::new(Side::A.address(), PORT);
    let read = |name: &str| std::fs::read_to_string(mesh.state().join(name)).unwrap();
    let now = SystemTime::now();
    let authority =
        Authority::load(Provider::default(), &read("root-cert.pem"), &read("root-key.pem"), now).unwrap();
    let names = [address.ip().to_string()];
    let certificate = ServingCertificate::issue(&authority, &names, Duration::from_secs(3600), now).unwrap();
    let listener = mesh.node(Side::A).run(|| TcpListener::bind(address)).unwrap().unwrap();
    let admit = |_: &MetadataMap, node: &Node| Ok(ClientView::everything(node.id.as_str()));
    let mount = Mount::default().with(Server::new(store.clone(), admit));
    std::thread::spawn(move || {
        crate::certificates::runtime().block_on(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let certificate = Arc::new(certificate);
            while let Ok((stream, _)) = listener.accept().await {
                let (mount, certificate) = (mount.clone(), certificate.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = serving::accept_control(stream, &certificate).await {
                        // A client that leaves is its own affair.
                        let _ = serve_connection(stream, mount, std::future::pending()).await;
                    }
                });
            }
        });
    });
    address
}

/// A pod as the controller announces it, captured.
pub fn workload(pod: &Pod) -> Workload {
    let spec = &pod.spec;
    let uid = format!("Kubernetes//Pod/{}/{}", spec.namespace, spec.name);
    let mut workload = Workload::new(uid.as_str(), spec.name.as_str(), spec.namespace.as_str()).unwrap();
    workload.addresses = pod.ips().to_vec();
    workload.identity = Identity::new("cluster.local", &spec.namespace, &spec.account).unwrap();
    workload.node = spec.side.name().into();
    workload.cluster = "Kubernetes".into();
    workload.tunnel = if spec.enrolled() { Tunnel::Hbone } else { Tunnel::None };
    workload
}
