//! Waypoints that are asked for: none is served yet, and whoever asks for one must know.

use ambit_kubernetes::{Metadata, Object, labels};

/// A note for every object that asks for a waypoint; its traffic goes without.
pub(super) fn notes(objects: &[Object]) -> Vec<String> {
    let asks = |metadata: &Metadata| {
        let waypoint = metadata.label(labels::USE_WAYPOINT)?;
        (waypoint != labels::DATAPLANE_NONE && !waypoint.is_empty()).then(|| waypoint.to_owned())
    };
    let note = |object: &Object| {
        let waypoint = asks(object.metadata())?;
        Some(format!(
            "{object}: its waypoint {waypoint:?} is not served here yet, so its traffic goes without"
        ))
    };
    objects.iter().filter_map(note).collect()
}
