//! What the samples say, for people and for machines.

pub mod outcome;
pub mod plot;
pub mod report;
pub mod statistics;
pub mod summary;
pub mod svg;
pub mod table;
pub mod targets;
