//! `ambit demo`: how does a newcomer see a whole mesh, minutes after the first build?
//!
//! Three processes of this program, besides those of the mesh:
//! - the *show* (what the user started) prints what it is told, passes Ctrl-C on, and leaves nothing behind;
//! - the *stage* lives in a world of its own (namespaces that vanish with it), builds the mesh there, drives it, and
//!   tells the show what it sees, one event a line;
//! - the *sweeper* waits until the stage is gone, however it ended, and removes its directory.
//!
//! With `--keep` the show ends and the stage stays, until `ambit demo down`.

pub mod down;
pub mod exec;
pub mod logs;
pub mod show;
pub mod stage;
pub mod status;
pub mod sweep;

mod access;
mod acts;
mod ask;
mod control;
mod direct;
mod event;
mod hosts;
mod ledger;
mod part;
mod place;
mod plan;
mod programs;
mod render;
mod request;
mod resources;
mod style;
mod through;
mod topology;
mod verdict;
mod wire;

pub use crate::arguments::DemoArguments as Arguments;
pub use place::{Place, PlaceError};
