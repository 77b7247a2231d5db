//! Fetching over real sockets on the loopback: what is refused, what is kept, what is replaced.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ambit_identity::RootCa;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fetch::{FetchError, fetch};
use super::{Keeper, KeySets, KeySource, Pace, Permissions, Wanted};
use crate::state::StateDirectory;

const LONG: Duration = Duration::from_secs(20);

fn keys(name: &str) -> String {
    format!(r#"{{"keys":[{{"kty":"EC","kid":"{name}"}}]}}"#)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A server that answers each request with what is set, or never.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (said, counted) = (answer.clone(), asked.clone());
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let _ = stream.read(&mut request).await;
                counted.fetch_add(1, Ordering::SeqCst);
                let answer = said.lock().clone();
                match answer {
                    Some(answer) => drop(stream.write_all(answer.as_bytes()).await),
                    None => open.push(stream),
                }
            }
        });
        Self { address, answer, asked, task }
    }

    fn uri(&self) -> KeySource {
        KeySource::Uri(format!("http://{}/keys", self.address).into())
    }

    fn say(&self, answer: String) {
        *self.answer.lock() = Some(answer);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn permitted() -> Permissions {
    Permissions { networks: vec!["127.0.0.0/8".parse().unwrap()], http: true }
}

async fn fetched(source: &KeySource, permissions: &Permissions) -> Result<String, FetchError> {
    fetch(source, LONG, permissions, &RootCa::System).await.map(|keys| keys.to_string())
}

#[tokio::test]
async fn keys_come_from_permitted_addresses_only() {
    let server = Server::start(Some(ok(&keys("a")))).await;
    assert_eq!(fetched(&server.uri(), &permitted()).await.unwrap(), keys("a"));
    let no_networks = Permissions { networks: Vec::new(), ..permitted() };
    assert!(matches!(fetched(&server.uri(), &no_networks).await, Err(FetchError::Refused { .. })));
    let named = KeySource::Uri(format!("http://localhost:{}/keys", server.address.port()).into());
    assert!(matches!(fetched(&named, &no_networks).await, Err(FetchError::Refused { .. })));
    let no_http = Permissions { http: false, ..permitted() };
    assert!(matches!(fetched(&server.uri(), &no_http).await, Err(FetchError::Plain)));
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "nothing else was dialled");
}

#[tokio::test]
async fn an_answer_is_bounded_and_final() {
    let server = Server::start(None).await;
    let never = fetch(&server.uri(), Duration::from_millis(20), &permitted(), &RootCa::System).await;
    assert!(matches!(never, Err(FetchError::Timeout(_))), "{never:?}");
    for (answer, what) in [
        (
            format!(
                "HTTP/1.1 302 Found\r\nlocation: http://{}/x\r\ncontent-length: 0\r\n\r\n",
                server.address
            ),
            "302",
        ),
        ("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_owned(), "404"),
        (ok(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300 << 10))), "length limit"),
        (ok("<html>"), "no JSON"),
        ("SSH-2.0-x\r\n".to_owned(), "cannot be read"),
    ] {
        server.say(answer);
        let error = fetched(&server.uri(), &permitted()).await.unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn an_issuer_says_where_its_keys_are() {
    let server = Server::start(Some(ok(&keys("a")))).await;
    let discovery = Server::start(None).await;
    let issuer = format!("http://{}", discovery.address);
    discovery.say(ok(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"http://{}/keys"}}"#, server.address)));
    let source = KeySource::Issuer(issuer.as_str().into());
    assert_eq!(fetched(&source, &permitted()).await.unwrap(), keys("a"));
    // What the document names is checked as the document's own address is.
    discovery.say(ok(&format!(r#"{{"issuer":"{issuer}","jwks_uri":"http://169.254.169.254/keys"}}"#)));
    assert!(matches!(fetched(&source, &permitted()).await, Err(FetchError::Refused { .. })));
}

/// A keeper in a hurry, what it is told to want, and what it knows.
fn keeper(
    wanted: Wanted,
    state: &TempDir,
) -> (watch::Sender<Wanted>, watch::Receiver<Arc<KeySets>>, JoinHandle<()>) {
    let quick = Duration::from_millis(2);
    let pace = Pace { refresh: quick, first_pause: quick, longest_pause: quick };
    let (sender, receiver) = watch::channel(wanted);
    let state = StateDirectory::open(state.path()).unwrap();
    let keeper = Keeper::new(receiver, permitted(), state, pace);
    let sets = keeper.sets();
    (sender, sets, tokio::spawn(keeper.run()))
}

async fn known(sets: &mut watch::Receiver<Arc<KeySets>>, source: &KeySource, name: &str) {
    let keys = keys(name);
    let has = |sets: &Arc<KeySets>| matches!(sets.get(source), Some(Ok(known)) if **known == *keys);
    let waited = tokio::time::timeout(LONG, sets.wait_for(has)).await;
    assert!(waited.is_ok_and(|known| known.is_ok()), "the keys {name} never came");
}

#[tokio::test]
async fn keys_are_replaced_and_outlast_an_outage_and_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(Some("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned())).await;
    let source = server.uri();
    let wanted = Wanted::from([(source.clone(), LONG)]);
    let (want, mut sets, task) = keeper(wanted.clone(), &state);
    let failed = |sets: &Arc<KeySets>| matches!(sets.get(&source), Some(Err(why)) if why.contains("500"));
    assert!(tokio::time::timeout(LONG, sets.wait_for(failed)).await.unwrap().is_ok());

    server.say(ok(&keys("a")));
    known(&mut sets, &source, "a").await;
    server.say(ok(&keys("b")));
    known(&mut sets, &source, "b").await;

    server.say("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".to_owned());
    let asked = server.asked.load(Ordering::SeqCst);
    while server.asked.load(Ordering::SeqCst) < asked + 3 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(sets.borrow().get(&source), Some(Ok(known)) if **known == *keys("b")));

    task.abort();
    let _ = task.await;
    let (_want, sets, _task) = keeper(wanted, &state);
    assert!(matches!(sets.borrow().get(&source), Some(Ok(known)) if **known == *keys("b")));
    drop(want);
}

#[tokio::test]
async fn what_nobody_wants_is_forgotten() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start(Some(ok(&keys("a")))).await;
    let source = server.uri();
    let (want, mut sets, _task) = keeper(Wanted::from([(source.clone(), LONG)]), &state);
    known(&mut sets, &source, "a").await;
    want.send_replace(Wanted::new());
    let waited = tokio::time::timeout(LONG, sets.wait_for(|sets| sets.is_empty())).await;
    assert!(waited.unwrap().is_ok());
}
