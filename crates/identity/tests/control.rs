//! The control channel against a real server on the loopback: what each call carries, and one clear line for each fault.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ambit_identity::csr::{certificate_request, csr_identity};
use ambit_identity::serving::accept_control;
use ambit_identity::{
    Authority, AuthorityClient, Certificate, CertificateSource as _, ControlChannel, ControlSettings,
    KeyPair, Provider, RootCa, ServingCertificate,
};
use ambit_model::Identity;
use ambit_proto::istio::auth::istio_certificate_service_server::{
    IstioCertificateService, IstioCertificateServiceServer,
};
use ambit_proto::istio::auth::{IstioCertificateRequest, IstioCertificateResponse};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use prost_types::value::Kind;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn identity(account: &str) -> Identity {
    Identity::new("cluster.local", "shop", account).unwrap()
}

fn root() -> Arc<Authority> {
    Arc::new(Authority::create(Provider::default(), "cluster.local", "Ambit", SystemTime::now()).unwrap())
}

/// A CA that signs what it is asked for, and notes the metadata.
#[derive(Clone)]
struct Issuer {
    authority: Arc<Authority>,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
}

#[tonic::async_trait]
impl IstioCertificateService for Issuer {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        self.seen.lock().unwrap().push(metadata);
        let asked = &request.metadata.unwrap().fields["ImpersonatedIdentity"];
        let Some(Kind::StringValue(asked)) = &asked.kind else { panic!("not a text") };
        let asked: Identity = asked.parse().unwrap();
        if asked.service_account().as_ref() == "refused" {
            return Err(Status::permission_denied("no pod of refused on this node"));
        }
        assert_eq!(csr_identity(&request.csr).unwrap(), asked);
        let lifetime = Duration::from_secs(request.validity_duration as u64);
        let cert_chain = self.authority.sign(&request.csr, &asked, lifetime, SystemTime::now()).unwrap();
        Ok(Response::new(IstioCertificateResponse { cert_chain }))
    }
}

/// A controller on a loopback port, with the names its certificate carries.
struct Server {
    authority: Arc<Authority>,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<MetadataMap>>>,
    task: JoinHandle<()>,
    folder: TempDir,
}

impl Server {
    async fn start(names: &[&str]) -> Self {
        Self::bind("127.0.0.1:0".parse().unwrap(), root(), names).await
    }

    async fn bind(address: SocketAddr, authority: Arc<Authority>, names: &[&str]) -> Self {
        let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
        let certificate =
            Arc::new(ServingCertificate::issue(&authority, &names, DAY, SystemTime::now()).unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::default();
        let issuer = Issuer { authority: authority.clone(), seen: Arc::clone(&seen) };
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (certificate, issuer) = (certificate.clone(), issuer.clone());
                connections.spawn(async move {
                    let Ok(stream) = accept_control(stream, &certificate).await else { return };
                    let service = TowerToHyperService::new(IstioCertificateServiceServer::new(issuer));
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("root-cert.pem"), authority.roots_pem()).unwrap();
        std::fs::write(folder.path().join("token"), "first\n").unwrap();
        Self { authority, address, seen, task, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn settings(&self) -> ControlSettings {
        ControlSettings {
            token: Some(self.path("token")),
            ..ControlSettings::new(self.address.to_string(), RootCa::File(self.path("root-cert.pem")))
        }
    }

    /// Ends it, with all its connections, and waits until it has.
    async fn stop(self) -> (SocketAddr, Arc<Authority>) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        (self.address, self.authority)
    }
}

async fn issue(channel: &ControlChannel, account: &str) -> Result<Certificate, String> {
    let key = KeyPair::generate(Provider::default()).unwrap();
    let csr = certificate_request(&key, &identity(account)).unwrap();
    let client = AuthorityClient::new(channel.clone());
    let chain = client.issue(&identity(account), csr, DAY).await.map_err(|error| error.message)?;
    Ok(Certificate::from_pem(&chain, &key, &identity(account), SystemTime::now()).unwrap())
}

/// The one line that a fault gives.
async fn fault(settings: ControlSettings) -> String {
    let text = match ControlChannel::new(settings) {
        Ok(channel) => {
            let text = channel.connect().await.unwrap_err().to_string();
            // The same line reaches whoever makes a call.
            assert_eq!(issue(&channel, "web").await.unwrap_err(), text);
            text
        }
        Err(error) => error.to_string(),
    };
    assert!(!text.contains('\n'), "{text}");
    text
}

#[tokio::test]
async fn calls_carry_the_token_of_the_moment_and_the_metadata() {
    let server = Server::start(&["127.0.0.1"]).await;
    let settings = ControlSettings {
        cluster_id: Some("Kubernetes".to_owned()),
        headers: vec![("x-extra".to_owned(), "one".to_owned())],
        ..server.settings()
    };
    let channel = ControlChannel::new(settings).unwrap();
    let certificate = issue(&channel, "web").await.unwrap();
    assert_eq!(*certificate.identity(), identity("web"));
    std::fs::write(server.path("token"), "second").unwrap();
    issue(&channel, "cart").await.unwrap();
    let seen = server.seen.lock().unwrap();
    let values =
        |name: &str| -> Vec<_> { seen.iter().map(|map| map.get(name).unwrap().to_str().unwrap()).collect() };
    assert_eq!(values("authorization"), ["Bearer first", "Bearer second"]);
    assert_eq!(values("clusterid"), ["Kubernetes", "Kubernetes"]);
    assert_eq!(values("x-extra"), ["one", "one"]);
}

#[tokio::test]
async fn a_refusal_of_the_authority_is_passed_on_and_may_be_retried() {
    let server = Server::start(&["127.0.0.1"]).await;
    let channel = ControlChannel::new(server.settings()).unwrap();
    let key = KeyPair::generate(Provider::default()).unwrap();
    let csr = certificate_request(&key, &identity("refused")).unwrap();
    let refusal = AuthorityClient::new(channel).issue(&identity("refused"), csr, DAY).await.unwrap_err();
    assert!(refusal.retryable);
    assert_eq!(refusal.message, "the CA answered PermissionDenied: no pod of refused on this node");
}

#[tokio::test]
async fn a_restarted_controller_is_found_again_also_with_another_root() {
    let server = Server::start(&["127.0.0.1"]).await;
    let root_file = server.path("root-cert.pem");
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("root-cert.pem");
    std::fs::copy(&root_file, &kept).unwrap();
    let settings = ControlSettings { token: None, roots: RootCa::File(kept.clone()), ..server.settings() };
    let channel = ControlChannel::new(settings).unwrap();
    issue(&channel, "web").await.unwrap();
    let (address, authority) = server.stop().await;
    let error = loop {
        // The connection's end reaches the client a moment later.
        match issue(&channel, "web").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(error.contains("controller") && error.contains(&address.to_string()), "{error}");
    let server = Server::bind(address, authority, &["127.0.0.1"]).await;
    issue(&channel, "web").await.unwrap();
    // The root file is read again at each connect.
    let (address, _) = server.stop().await;
    let server = Server::bind(address, root(), &["127.0.0.1"]).await;
    std::fs::copy(server.path("root-cert.pem"), &kept).unwrap();
    let again = ControlChannel::new(ControlSettings::new(address.to_string(), RootCa::File(kept))).unwrap();
    issue(&again, "web").await.unwrap();
    let mut last = issue(&channel, "web").await;
    while last.as_ref().is_err_and(|error| error.contains("broke")) {
        last = issue(&channel, "web").await;
    }
    last.unwrap();
}

#[tokio::test]
async fn names_are_verified_as_dns_names_and_addresses() {
    let server = Server::start(&["istiod.istio-system.svc", "localhost"]).await;
    let named = ControlSettings {
        verify_name: Some("istiod.istio-system.svc".to_owned()),
        address: format!("https://{}", server.address),
        ..server.settings()
    };
    ControlChannel::new(named).unwrap().connect().await.unwrap();
    let line = fault(server.settings()).await;
    assert!(line.contains("is not for 127.0.0.1"), "{line}");
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    let server = Server::bind(v6, root(), &["::1"]).await;
    ControlChannel::new(server.settings()).unwrap().connect().await.unwrap();
}

#[tokio::test]
async fn a11_another_root_is_refused() {
    let server = Server::start(&["127.0.0.1"]).await;
    std::fs::write(server.path("root-cert.pem"), root().roots_pem()).unwrap();
    let line = fault(server.settings()).await;
    assert!(line.contains("another CA") && line.contains("root-cert.pem"), "{line}");
    assert!(server.seen.lock().unwrap().is_empty(), "the token went to a stranger");
}

#[tokio::test]
async fn a11_a_mesh_workload_is_no_controller() {
    let authority = root();
    let key = KeyPair::generate(Provider::default()).unwrap();
    let csr = certificate_request(&key, &identity("web")).unwrap();
    let chain = authority.sign(&csr, &identity("web"), DAY, SystemTime::now()).unwrap();
    let certificate = Certificate::from_pem(&chain, &key, &identity("web"), SystemTime::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let imposter = async {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(ambit_identity::tls::accept(stream, &certificate).await.is_err());
    };
    let channel =
        ControlChannel::new(ControlSettings::new(address, RootCa::Pem(authority.roots_pem()))).unwrap();
    let (outcome, ()) = tokio::join!(channel.connect(), imposter);
    let line = outcome.unwrap_err().to_string();
    assert!(line.contains("is not for 127.0.0.1"), "{line}");
}

#[tokio::test]
async fn a11_a_plaintext_port_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let plaintext = async {
        use tokio::io::AsyncWriteExt as _;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
    };
    let channel =
        ControlChannel::new(ControlSettings::new(address, RootCa::Pem(root().roots_pem()))).unwrap();
    let (outcome, ()) = tokio::join!(channel.connect(), plaintext);
    let line = outcome.unwrap_err().to_string();
    assert!(line.contains("TLS handshake with the controller"), "{line}");
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let line = fault(ControlSettings::new(address.to_string(), RootCa::Pem(root().roots_pem()))).await;
    assert!(line.contains("refused") && line.contains("check that it runs"), "{line}");
}

#[tokio::test]
async fn files_that_are_missing_or_wrong() {
    let server = Server::start(&["127.0.0.1"]).await;
    let roots = |path: &Path| ControlSettings { roots: RootCa::File(path.to_owned()), ..server.settings() };
    let line = fault(roots(Path::new("/nowhere/root-cert.pem"))).await;
    assert!(line.contains("/nowhere/root-cert.pem") && line.contains("copy the controller's"), "{line}");
    let line = fault(roots(&server.path("token"))).await;
    assert!(line.contains("no BEGIN CERTIFICATE block"), "{line}");

    let token = |path: PathBuf| ControlSettings { token: Some(path), ..server.settings() };
    let channel = ControlChannel::new(token("/nowhere/token".into())).unwrap();
    let line = issue(&channel, "web").await.unwrap_err();
    assert!(line.contains("/nowhere/token") && line.contains("create one"), "{line}");
    for (text, reason) in [("\n", "is empty"), ("one two", "printable"), ("a\u{7}b", "printable")] {
        std::fs::write(server.path("odd"), text).unwrap();
        let channel = ControlChannel::new(token(server.path("odd"))).unwrap();
        let line = issue(&channel, "web").await.unwrap_err();
        assert!(line.contains(reason) && !line.contains(text), "{line}");
    }
}

#[test]
fn addresses() {
    let new = |address: &str| {
        ControlChannel::new(ControlSettings::new(address, RootCa::System))
            .map(|channel| channel.address().to_owned())
    };
    for (address, understood) in [
        ("https://istiod.istio-system.svc:15012", "istiod.istio-system.svc:15012"),
        ("localhost:15012", "localhost:15012"),
        ("https://[::1]:15012/", "[::1]:15012"),
        ("192.0.2.7:443", "192.0.2.7:443"),
    ] {
        assert_eq!(new(address).unwrap(), understood);
    }
    for address in [
        "http://localhost:15010",
        "localhost",
        "localhost:0",
        "localhost:99999",
        "https://",
        "",
        ":15012",
        "a b:1",
        "https://host:1/path",
        "user@host:1",
        "https://exa_mple..:1",
    ] {
        let line = new(address).unwrap_err().to_string();
        assert!(line.contains("write https://HOST:PORT"), "{address}: {line}");
    }
    let header = ControlSettings {
        headers: vec![("bad header".to_owned(), "x".to_owned())],
        ..ControlSettings::new("localhost:1", RootCa::System)
    };
    assert!(ControlChannel::new(header).unwrap_err().to_string().contains("bad header"));
}
