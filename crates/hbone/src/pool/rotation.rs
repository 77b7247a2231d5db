//! Which certificates were tunnels made with? A replaced one gets new tunnels.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ambit_identity::{Certificate, Certificates};
use ambit_model::Identity;
use parking_lot::Mutex;

use super::{Connector, Pool};

/// The certificates that the tunnels of a worker were made with, so that a rotation is noticed: new connections then
/// go into new tunnels, and the old ones end with their last stream.
#[derive(Debug, Default)]
pub struct Rotation {
    seen: Mutex<HashMap<Identity, Weak<Certificate>>>,
}

impl Rotation {
    /// Lets the pool's tunnels of this identity run out, if its certificate has been replaced since the last call.
    pub fn follow<C: Connector>(&self, identity: &Identity, certificates: &Certificates, tunnels: &Pool<C>) {
        let Some(current) = certificates.current(identity) else { return };
        let mut seen = self.seen.lock();
        match seen.get_mut(identity) {
            Some(known) if std::ptr::eq(known.as_ptr(), Arc::as_ptr(&current)) => {}
            Some(known) => {
                *known = Arc::downgrade(&current);
                tunnels.drain(|key| key.source() == identity);
            }
            None => {
                seen.insert(identity.clone(), Arc::downgrade(&current));
            }
        }
    }

    /// Forgets the identities that no pod of the worker has any more.
    pub fn retain(&self, keep: impl Fn(&Identity) -> bool) {
        self.seen.lock().retain(|identity, _| keep(identity));
    }
}
