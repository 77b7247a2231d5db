//! Clients and servers by libraries of other hands, with the waypoint between them: gRPC and WebSocket.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod calls;
mod grpc;
#[allow(dead_code)]
#[path = "../flows/mesh.rs"]
mod mesh;
mod websocket;

/// The client's address, the application's, and the service that both know.
const WEB: &str = "10.0.0.1";
const CART_1: &str = "10.0.0.2";
const CART: &str = "10.1.0.1:80";
