//! The programs of the demo's shop: plain HTTP, real sockets, no knowledge of any mesh.
//!
//! Each serves its part of the shop and calls others by name, as any program would. It is directed by lines on standard
//! input and tells what it did on standard output; see [`words`].

mod client;
mod director;
mod load;
mod server;
pub mod words;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::arguments::ShopArguments;
use client::Client;
use words::{News, Teller};

/// Runs one program of the shop until its standard input ends.
pub fn run(arguments: ShopArguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let teller = Teller::to_standard_output();
        let listener = listener(arguments.port).await?;
        let client = Client::new(&arguments.name, &arguments.marker, teller.clone());
        tokio::spawn(server::serve(listener, Arc::new(client.clone())));
        teller.tell(&News::Listening { port: arguments.port });
        director::follow(client).await
    });
    // Reading standard input occupies a thread that nothing can interrupt.
    runtime.shutdown_background();
    ended
}

/// On every address of both families, or of IPv4 where the kernel has no other.
async fn listener(port: u16) -> anyhow::Result<TcpListener> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let one = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match TcpListener::bind(both).await {
        Err(error) if error.raw_os_error() == Some(nix::libc::EAFNOSUPPORT) => TcpListener::bind(one).await,
        other => other,
    }
    .with_context(|| format!("cannot listen on port {port}: choose another with --port"))
}
