//! What the client's log says while there is no configuration.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ambit_xds::{Kind, Store};
use tokio::time::sleep;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::network::{Network, Peer, service};

/// Keeps the messages of the client.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Visit for Log {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ambit_xds::client")
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
}

#[tokio::test(start_paused = true)]
async fn one_reason_is_said_once_and_not_as_if_there_had_been_a_configuration() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let network = Network::default();
    let mut peer = Peer::start(&network, "node");
    sleep(Duration::from_secs(20)).await;
    assert!(network.attempts.lock().unwrap().len() > 5);
    let said = log.take();
    assert_eq!(said.len(), 1, "{said:?}");
    let early = "no configuration yet from http://controller:15012/: ";
    assert!(said[0].starts_with(early) && said[0].ends_with("; it is tried again"), "{said:?}");
    assert!(said[0].contains("connection refused"), "{said:?}");

    let store = Store::default();
    store.publish(Kind::Address, [service("h", "a")]);
    network.up(&store);
    peer.first_state().await;
    log.take();
    network.down();
    sleep(Duration::from_secs(60)).await;
    let said = log.take();
    assert!((2..6).contains(&said.len()), "{said:?}");
    assert!(said.iter().all(|line| line.ends_with("what was received stays in force")), "{said:?}");
}
