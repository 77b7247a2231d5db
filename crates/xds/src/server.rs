//! Server.
/// S.
pub struct Server;
/// S.
pub struct Store;
/// S.
pub struct Resource;
