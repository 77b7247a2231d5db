//! Both engines: every rule of the wire is held by each.

#![allow(dead_code)] // Each test file uses its part.

pub(crate) use ambit_hbone::Engine;
use ambit_hbone::{Buffered, ClientSettings, ServerSettings};
use tokio::io::DuplexStream;

pub(crate) const ENGINES: [Engine; 2] = [Engine::Library, Engine::Own];

pub(crate) fn server_settings(engine: Engine) -> ServerSettings {
    ServerSettings { engine, ..ServerSettings::default() }
}

pub(crate) fn client_settings(engine: Engine) -> ClientSettings {
    ClientSettings { engine, ..ClientSettings::default() }
}

/// A pipe as the crate takes it.
pub(crate) fn carrier(io: DuplexStream) -> Buffered<DuplexStream> {
    Buffered::new(io)
}
