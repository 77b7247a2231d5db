//! How is a chosen workload reached from here? Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use ambit_hbone::Key;
use ambit_model::traffic::ports;
use ambit_model::workload::Tunnel;
use ambit_model::{Service, Text, Workload};
use ambit_policy::Chosen;

/// A place to send to.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Who is there.
    pub workload: Arc<Workload>,
    /// Its address and port.
    pub address: SocketAddr,
    /// The tunnel to it; `None` where it has no proxy, and is spoken to in the clear.
    pub tunnel: Option<Key>,
}

/// Why a workload cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// It is elsewhere.
    #[error("workload {0} is on network {1:?}, which this proxy has no way to: networks are not joined yet")]
    OtherNetwork(Text, Text),
    /// It has no address.
    #[error("workload {0} has only a host name, which this proxy does not resolve yet")]
    NoAddress(Text),
}

/// The way from `own` to an endpoint of `service`. A workload that speaks HBONE is never sent plaintext.
///
/// # Errors
/// There is none.
pub fn endpoint(own: &Workload, chosen: Chosen, service: Option<&Service>) -> Result<Endpoint, NoWay> {
    let Chosen { workload, target_port, address } = chosen;
    if workload.network != own.network {
        return Err(NoWay::OtherNetwork(workload.uid.clone(), workload.network.clone()));
    }
    let ip = address.ok_or_else(|| NoWay::NoAddress(workload.uid.clone()))?;
    let tunnel = (workload.tunnel == Tunnel::Hbone).then(|| {
        let gateway = SocketAddr::new(ip, ports::HBONE);
        Key::new(own.identity.clone(), own.uid.clone(), gateway, expected(&workload, service))
    });
    Ok(Endpoint { workload, address: SocketAddr::new(ip, target_port), tunnel })
}

/// The workload's own identity, or any that its service vouches for.
fn expected(workload: &Workload, service: Option<&Service>) -> Arc<[Text]> {
    let own: Text = workload.identity.to_string().into();
    service.into_iter().flat_map(|service| service.subject_alt_names.iter().cloned()).chain([own]).collect()
}
