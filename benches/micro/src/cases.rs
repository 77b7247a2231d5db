//! The cases, by the part of the data path that they belong to.

mod configuration;
mod headers;
mod mesh;
mod metrics;
mod policies;
mod relay;
mod tls;
mod tunnel;

use ambit_hbone::Engine;
use ambit_identity::tls::Layer;

use crate::{Case, Work};

/// All cases, in the order of the table.
pub const CASES: &[Case] = &[
    Case { name: "pods-1k/resolve-pod", prepare: || configuration::resolve_pods(1_000) },
    Case { name: "pods-1k/resolve-service", prepare: || configuration::resolve_services(1_000) },
    Case { name: "pods-1k/update", prepare: || configuration::update(1_000) },
    Case { name: "pods-100k/resolve-pod", prepare: || configuration::resolve_pods(100_000) },
    Case { name: "pods-100k/resolve-service", prepare: || configuration::resolve_services(100_000) },
    Case { name: "pods-100k/update", prepare: || configuration::update(100_000) },
    Case { name: "authorize/10", prepare: || policies::authorize(10) },
    Case { name: "authorize/1k", prepare: || policies::authorize(1_000) },
    Case { name: "authorize/10k", prepare: || policies::authorize(10_000) },
    Case { name: "headers/encode", prepare: headers::encode },
    Case { name: "headers/decode", prepare: headers::decode },
    Case { name: "relay/1MiB", prepare: relay::bulk },
    Case { name: "relay/1000-messages", prepare: relay::messages },
    Case { name: "tls-own/1MiB", prepare: || tls::bulk(Layer::Own) },
    Case { name: "tls-own/1000-messages", prepare: || tls::messages(Layer::Own) },
    Case { name: "tls-own/handshakes", prepare: || tls::handshakes(Layer::Own) },
    Case { name: "tls-own/resumptions", prepare: || tls::resumptions(Layer::Own) },
    Case { name: "tls-library/1MiB", prepare: || tls::bulk(Layer::Library) },
    Case { name: "tls-library/1000-messages", prepare: || tls::messages(Layer::Library) },
    Case { name: "tls-library/handshakes", prepare: || tls::handshakes(Layer::Library) },
    Case { name: "tls-library/resumptions", prepare: || tls::resumptions(Layer::Library) },
    Case { name: "tunnel-own/1MiB", prepare: || tunnel::bulk(Engine::Own) },
    Case { name: "tunnel-own/1000-messages", prepare: || tunnel::messages(Engine::Own) },
    Case { name: "tunnel-own/100-connects", prepare: || tunnel::connects(Engine::Own) },
    Case { name: "tunnel-library/1MiB", prepare: || tunnel::bulk(Engine::Library) },
    Case { name: "tunnel-library/1000-messages", prepare: || tunnel::messages(Engine::Library) },
    Case { name: "tunnel-library/100-connects", prepare: || tunnel::connects(Engine::Library) },
    Case { name: "metrics/1000-connections", prepare: metrics::connections },
    Case { name: "metrics/50-scrapes", prepare: metrics::scrape },
];

/// A case's work from a closure.
#[allow(clippy::unnecessary_wraps)] // Every `prepare` gives this.
fn work(each: impl FnMut() -> anyhow::Result<()> + 'static) -> anyhow::Result<Work> {
    Ok(Box::new(each))
}

/// A runtime of one thread, as each worker has.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
