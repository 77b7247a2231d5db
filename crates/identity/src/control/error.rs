//! What can be wrong with a connection to the controller, one line each.

use std::io;
use std::path::PathBuf;

/// Why a call did not reach the controller. The configuration in force stays in force.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// An address that cannot be used.
    #[error(
        "the controller address {address:?} cannot be used: {reason}; write https://HOST:PORT or HOST:PORT"
    )]
    Address {
        /// As configured.
        address: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A header that HTTP does not allow.
    #[error(
        "the extra header {0:?} cannot be sent to the controller: use a valid HTTP header name and value"
    )]
    Header(String),
    /// The root file.
    #[error("the controller's root certificates cannot be read from {}: {reason}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The token file.
    #[error("the controller token cannot be read from {}: {reason}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers.
    #[error("cannot connect to the controller at {address}: {source}; check that it runs and listens there")]
    Connect {
        /// Its address.
        address: String,
        /// The system's error.
        source: io::Error,
    },
    /// Too slow.
    #[error(
        "the controller at {address} did not complete the {stage} within 5 s: check the address and the network between"
    )]
    Timeout {
        /// Its address.
        address: String,
        /// What was waited for.
        stage: &'static str,
    },
    /// Another CA.
    #[error(
        "the controller at {address} has a certificate of another CA than {roots}: use the root-cert.pem of that controller"
    )]
    WrongRoot {
        /// Its address.
        address: String,
        /// Where our roots came from.
        roots: String,
    },
    /// Another name.
    #[error(
        "the certificate of the controller at {address} is not for {name}: connect by a name that it has, or add this one to it"
    )]
    WrongName {
        /// Its address.
        address: String,
        /// The name that was verified.
        name: String,
    },
    /// Certificate or TLS, otherwise.
    #[error("the TLS handshake with the controller at {address} failed: {reason}")]
    Tls {
        /// Its address.
        address: String,
        /// One line.
        reason: String,
    },
    /// The connection broke under a call.
    #[error("the connection to the controller at {address} broke: {reason}")]
    Broken {
        /// Its address.
        address: String,
        /// One line.
        reason: String,
    },
}
