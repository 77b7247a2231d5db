//! Whether a directory of resources can come into force, and what is in it.

use std::path::Path;

use ambit_kubernetes::{Action, FieldPath, Limits, Loaded, Note, NoteKind, Object, Problem};

/// A directory's objects, valid as a whole.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// The objects, in the order of files and documents.
    pub objects: Vec<Object>,
    /// What was left out although its author expects an effect.
    pub warnings: Vec<Note>,
}

/// Reads and validates a directory. All problems of all files come together; then nothing of it counts.
pub fn read(directory: &Path) -> Result<Configuration, Vec<Problem>> {
    let resources = ambit_kubernetes::read_directory_with(directory, &Limits::default())?;
    let mut problems = ambit_kubernetes::validate_set(&resources.objects);
    problems.extend(resources.objects.iter().flat_map(unenforceable));
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut warnings = resources.notes;
    warnings.retain(|note| note.kind == NoteKind::NotHonoured);
    Ok(Configuration {
        objects: resources.objects.into_iter().map(|loaded| loaded.object).collect(),
        warnings,
    })
}

/// Policies that restrict access in a way that nothing here enforces: accepting them would widen access.
fn unenforceable(loaded: &Loaded) -> Option<Problem> {
    let Object::AuthorizationPolicy(policy) = &loaded.object else { return None };
    let spec = FieldPath::of("spec");
    if policy.spec.action == Action::Custom {
        return Some(loaded.problem(
            spec.key("action"),
            "nothing here asks an external authorizer, so CUSTOM would not be enforced",
            "remove the policy, or write it with ALLOW or DENY",
        ));
    }
    policy.spec.targets().next().map(|_| {
        let field = if policy.spec.target_ref.is_some() { "targetRef" } else { "targetRefs" };
        loaded.problem(
            spec.key(field),
            "policies of waypoints and gateways are not enforced here yet",
            "use a selector instead, or remove the policy",
        )
    })
}
