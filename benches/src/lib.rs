//! What the mesh costs, beside no mesh, sidecars and any other ztunnel: the same work, the same machine, interleaved.

pub mod arguments;
pub mod case;
pub mod client;
pub mod machine;
pub mod result;
pub mod rounds;
pub mod run;
pub mod sample;
pub mod scale;
pub mod selection;
pub mod stage;
pub mod work;
