//! Both engines: every rule of the wire is held by each.

#![allow(dead_code)] // Each test file uses its part.

use ambit_hbone::{ClientSettings, ServerSettings};
use tokio::io::DuplexStream;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Library,
}

pub(crate) const ENGINES: [Engine; 1] = [Engine::Library];

pub(crate) fn server_settings(_engine: Engine) -> ServerSettings {
    ServerSettings::default()
}

pub(crate) fn client_settings(_engine: Engine) -> ClientSettings {
    ClientSettings::default()
}

/// A pipe as the crate takes it.
pub(crate) fn carrier(io: DuplexStream) -> DuplexStream {
    io
}
