//! Client.
/// Client.
pub struct Client;
