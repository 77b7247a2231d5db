//! Peers that break the rules on purpose, before and behind the waypoint: each is told so, nothing of theirs reaches the
//! other side, others are served meanwhile, and no flood makes the process grow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod bodies;
mod floods;
mod frames;
mod heads;
#[allow(dead_code)]
#[path = "../flows/http.rs"]
mod http;
#[allow(dead_code)]
#[path = "../flows/mesh.rs"]
mod mesh;
mod paths;
mod shop;
