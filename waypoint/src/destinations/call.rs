//! A destination as one request uses it.

use std::sync::Arc;
use std::time::Instant;

use rand::Rng;

use super::{Current, Destination, Held, Place, Uncallable, Wish};

/// A destination, and what it is at this moment.
#[derive(Debug, Clone)]
pub struct Call {
    /// What is learned of it.
    pub destination: Arc<Destination>,
    /// What configuration says of it.
    pub current: Arc<Current>,
}

impl Call {
    /// An endpoint for a request.
    ///
    /// # Errors
    /// There is none.
    pub fn choose(&self, wish: Wish<'_>, rng: &mut impl Rng) -> Result<&Place, Uncallable> {
        self.current.choose(&self.destination.health, wish, now(), rng)
    }

    /// A request is sent to `place`; `None` where there is no room for one more.
    pub fn begin(&self, place: &Place, retry: bool) -> Option<Box<Held>> {
        let request = self.current.requests.take()?;
        Some(Held::begin(&self.destination, &self.current, place, Some(request), retry, now()).into())
    }

    /// A connection that carries bytes is made to `place`.
    pub fn connect(&self, place: &Place) -> Held {
        Held::begin(&self.destination, &self.current, place, None, false, now())
    }

    /// Whether one more retry may begin.
    pub fn may_retry(&self) -> bool {
        self.destination.may_retry(&self.current, now())
    }
}

/// The time by the runtime's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
