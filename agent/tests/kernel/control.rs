//! A controller's port: real TLS and HTTP/2, and a note of every report.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use ambit_identity::serving::accept_control;
use ambit_identity::{Authority, Provider, ServingCertificate};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// One report: its path, its credentials, the pods as `namespace/name`, and whether the others are released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) path: String,
    pub(crate) authorization: String,
    pub(crate) pods: Vec<String>,
    pub(crate) released: bool,
}

#[derive(Debug, Default)]
struct Notes {
    reports: Mutex<Vec<Report>>,
    refusing: Mutex<Option<StatusCode>>,
}

pub(crate) struct Control {
    pub(crate) address: SocketAddr,
    notes: Arc<Notes>,
    authority: Arc<Authority>,
    directory: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    pub(crate) fn start() -> Self {
        let authority =
            Authority::create(Provider::default(), "cluster.local", "Ambit", SystemTime::now()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("root-cert.pem"), authority.roots_pem()).unwrap();
        std::fs::write(directory.path().join("token"), "the-token\n").unwrap();
        let notes = Arc::new(Notes::default());
        let address = "127.0.0.1:0".parse().unwrap();
        let mut control =
            Self { address, notes, authority: Arc::new(authority), directory, stop: None, thread: None };
        control.listen();
        control
    }

    /// Listens (again, at the same port).
    pub(crate) fn listen(&mut self) {
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        self.address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (notes, authority) = (Arc::clone(&self.notes), Arc::clone(&self.authority));
        self.stop = Some(stop);
        self.thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, notes, authority) => {}
                    _ = stopped => {}
                }
            });
        }));
    }

    /// Ends it, with its connections.
    pub(crate) fn kill(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub(crate) fn refuse(&self, status: Option<StatusCode>) {
        *self.notes.refusing.lock().unwrap() = status;
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.notes.reports.lock().unwrap().clone()
    }

    /// The pods of the last report.
    pub(crate) fn captured(&self) -> Option<Vec<String>> {
        self.reports().pop().map(|report| report.pods)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The agent's arguments to reach it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let file = |name: &str| self.file(name).display().to_string();
        let words = [
            "--controller",
            &self.address.to_string(),
            "--token",
            &file("token"),
            "--root",
            &file("root-cert.pem"),
        ];
        words.map(str::to_owned).to_vec()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn serve(listener: std::net::TcpListener, notes: Arc<Notes>, authority: Arc<Authority>) {
    let names = ["127.0.0.1".to_owned()];
    let day = Duration::from_secs(24 * 3600);
    let certificate = ServingCertificate::issue(&authority, &names, day, SystemTime::now()).unwrap();
    let certificate = Arc::new(certificate);
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (certificate, notes) = (Arc::clone(&certificate), Arc::clone(&notes));
        connections.spawn(async move {
            let Ok(stream) = accept_control(stream, &certificate).await else { return };
            let service = service_fn(move |request| answer(request, Arc::clone(&notes)));
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(request: Request<Incoming>, notes: Arc<Notes>) -> hyper::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&body.collect().await?.to_bytes()).unwrap();
    let pod =
        |pod: &Value| format!("{}/{}", pod["namespace"].as_str().unwrap(), pod["name"].as_str().unwrap());
    let report = Report {
        path: format!("{} {}", head.method, head.uri.path()),
        authorization: head.headers["authorization"].to_str().unwrap().to_owned(),
        pods: body["pods"].as_array().unwrap().iter().map(pod).collect(),
        released: body.get("released").is_some_and(|released| released.as_bool().unwrap()),
    };
    let refusing = *notes.refusing.lock().unwrap();
    let mut response = Response::new(Full::default());
    *response.status_mut() = refusing.unwrap_or(StatusCode::NO_CONTENT);
    if refusing.is_some() {
        *response.body_mut() = Full::from("the token is for node other\n");
    } else {
        notes.reports.lock().unwrap().push(report);
    }
    Ok(response)
}
