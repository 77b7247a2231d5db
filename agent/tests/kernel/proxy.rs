//! A ztunnel without traffic: a real ZDS client that notes what it is told and answers as it is told to.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use ambit_zds::client::{Client, Event};
use tokio::sync::oneshot;

use crate::agent::poll;
use crate::node::inode;

/// What the agent said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Add { uid: String, inode: u64, account: String },
    Keep(String),
    Remove(String),
    Snapshot { stale: Vec<String> },
}

pub(crate) struct Proxy {
    told: Arc<Mutex<Vec<Told>>>,
    refusing: Arc<Mutex<Option<String>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Connects as soon as an agent listens.
    pub(crate) fn start(socket: &Path) -> Self {
        let told = Arc::new(Mutex::new(Vec::new()));
        let refusing = Arc::new(Mutex::new(None));
        let (stop, stopped) = oneshot::channel();
        let (notes, refusals, socket) = (Arc::clone(&told), Arc::clone(&refusing), socket.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = follow(Client::new(socket), &notes, &refusals) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { told, refusing, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers every add with this reason from now on; `None` accepts.
    pub(crate) fn refuse(&self, reason: Option<&str>) {
        *self.refusing.lock().unwrap() = reason.map(str::to_owned);
    }

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn until_told(&self, wanted: &Told) {
        assert!(poll(|| self.told().contains(wanted)), "never told {wanted:?}, but {:?}", self.told());
    }

    #[track_caller]
    pub(crate) fn until_added(&self, uid: &str, inode: u64) {
        let name = uid.rsplit('/').next().unwrap();
        self.until_told(&Told::Add { uid: uid.to_owned(), inode, account: name.to_owned() });
    }
}

async fn follow(mut client: Client, told: &Mutex<Vec<Told>>, refusing: &Mutex<Option<String>>) {
    loop {
        let Ok(event) = client.next().await else { continue };
        let refusal = refusing.lock().unwrap().clone();
        let answer = match &event {
            Event::Add { .. } => refusal.map_or(Ok(()), Err),
            _ => Ok(()),
        };
        told.lock().unwrap().push(match event {
            Event::Add { uid, identity, netns } => {
                Told::Add { uid, inode: inode(&netns), account: identity.service_account }
            }
            Event::Keep { uid } => Told::Keep(uid),
            Event::Remove { uid } => Told::Remove(uid),
            Event::SnapshotSent { stale } => Told::Snapshot { stale },
        });
        client.ack(answer);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
