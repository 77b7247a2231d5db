//! What the machine says: its processors' time, its processes, and what it is.

pub mod facts;
pub mod foreign;
pub mod process;
pub mod processors;
