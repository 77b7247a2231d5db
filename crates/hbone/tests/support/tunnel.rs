//! Both ends of a tunnel over an in-memory pipe.

#![allow(dead_code)] // Each test file uses its part.

use std::cell::Cell;
use std::future::Future;

use ambit_hbone::client::connect;
use ambit_hbone::{
    Authority, Buffered, ClientSettings, ConnectRequest, Connection, Engine, H2Error, Incoming, ServeError,
    Served, ServerSettings, Stream, serve,
};
use ambit_transport::drain;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

pub(crate) const PIPE: usize = 64 * 1024;

thread_local! {
    /// The engines of the test that runs on this thread with all its tasks: the client's and the server's.
    static ENGINES: Cell<(Engine, Engine)> = const { Cell::new((Engine::Own, Engine::Own)) };
}

/// From here on this thread's tunnels have these engines.
pub(crate) fn use_engines(client: Engine, server: Engine) {
    ENGINES.set((client, server));
}

pub(crate) fn client_settings() -> ClientSettings {
    ClientSettings { engine: ENGINES.get().0, ..ClientSettings::default() }
}

pub(crate) fn server_settings() -> ServerSettings {
    ServerSettings { engine: ENGINES.get().1, ..ServerSettings::default() }
}

/// Runs each of these with every pairing of engines.
#[allow(unused_macros)] // Each test file uses its part.
macro_rules! pairings {
    (@each $attribute:tt $($name:ident,)*) => {$(
        mod $name {
            use ambit_hbone::Engine::{Library, Own};

            $crate::tunnel::pairings!(@one $attribute own_to_own, Own, Own, $name);
            $crate::tunnel::pairings!(@one $attribute own_to_library, Own, Library, $name);
            $crate::tunnel::pairings!(@one $attribute library_to_own, Library, Own, $name);
            $crate::tunnel::pairings!(@one $attribute library_to_library, Library, Library, $name);
        }
    )*};
    (@one [$($attribute:tt)*] $pairing:ident, $client:ident, $server:ident, $name:ident) => {
        $($attribute)*
        async fn $pairing() {
            $crate::tunnel::use_engines($client, $server);
            super::$name().await;
        }
    };
    ($($name:ident,)*) => { $crate::tunnel::pairings!(@each [#[tokio::test]] $($name,)*); };
}

#[allow(unused_macros)] // Each test file uses its part.
macro_rules! pairings_in_paused_time {
    ($($name:ident,)*) => {
        $crate::tunnel::pairings!(@each [#[tokio::test(start_paused = true)]] $($name,)*);
    };
}

#[allow(unused_imports)] // Each test file uses its part.
pub(crate) use {pairings, pairings_in_paused_time};

pub(crate) fn request() -> ConnectRequest {
    ConnectRequest::new("10.0.0.2:8080".parse::<Authority>().unwrap())
}

pub(crate) struct Server {
    pub(crate) drain: drain::Drain,
    pub(crate) serving: JoinHandle<Result<Served, ServeError>>,
}

/// A server on a new pipe, whose other end is given too.
pub(crate) fn server<F, Fut>(settings: ServerSettings, on_request: F) -> (DuplexStream, Server)
where
    F: FnMut(Incoming) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (ours, theirs) = duplex(PIPE);
    let (drain, watch) = drain::channel();
    let serving =
        tokio::spawn(async move { serve(Buffered::new(theirs), &settings, watch, on_request).await });
    (ours, Server { drain, serving })
}

pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) driving: JoinHandle<Result<(), H2Error>>,
}

pub(crate) async fn client(io: DuplexStream, settings: ClientSettings) -> Client {
    let (connection, driver) = connect(Buffered::new(io), &settings).await.unwrap();
    Client { connection, driving: tokio::spawn(driver) }
}

/// A client and a server with default settings.
pub(crate) async fn tunnel<F, Fut>(on_request: F) -> (Client, Server)
where
    F: FnMut(Incoming) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (io, server) = server(server_settings(), on_request);
    (client(io, client_settings()).await, server)
}

/// Accepts and sends back whatever comes, until its end.
pub(crate) async fn echo(incoming: Incoming) {
    let Ok(stream) = incoming.accept(None) else { return };
    let (mut read, mut write) = tokio::io::split(stream);
    let _ = tokio::io::copy(&mut read, &mut write).await;
    let _ = write.shutdown().await;
}

/// Sends `bytes`, ends, and reads the answer to its end.
pub(crate) async fn exchange(mut stream: Stream, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    answer
}
