//! Waypoints that are asked for: none is served yet, and whoever asks for one must know.

use ambit_kubernetes::{Object, labels};

/// A note for an object that asks for a waypoint; its traffic goes without.
pub(super) fn note(object: &Object) -> Option<String> {
    let waypoint = object.metadata().label(labels::USE_WAYPOINT)?;
    let asks = waypoint != labels::DATAPLANE_NONE && !waypoint.is_empty();
    asks.then(|| {
        format!("{object}: its waypoint {waypoint:?} is not served here yet, so its traffic goes without")
    })
}
