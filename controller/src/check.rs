//! Whether a directory of resources can come into force, and what is in it.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use ambit_kubernetes::{
    Action, Directory, FieldPath, Kind, Limits, Loaded, Note, NoteKind, Object, Problem, Resources,
};

/// A directory's objects, valid as a whole.
#[derive(Debug, Clone, Default)]
pub struct Configuration {
    /// What each file holds, in the order of their names. A file that did not change is the same value.
    pub files: Vec<Arc<Resources>>,
}

/// The files of a directory as they were read last.
pub type Files = Directory<Resources>;

/// Files of which nothing was read yet.
pub fn files(directory: &Path) -> Files {
    Directory::new(directory, Limits::default())
}

/// Reads and validates what changed. All problems of all files come together; then nothing of it counts.
pub fn read(files: &mut Files) -> Result<Configuration, Vec<Problem>> {
    let configuration = Configuration { files: files.read(|resources| resources)? };
    let problems: Vec<Problem> = configuration.loaded().filter_map(unenforceable).collect();
    if problems.is_empty() { Ok(configuration) } else { Err(problems) }
}

impl Configuration {
    /// The objects, in the order of files and documents.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.loaded().map(|loaded| &loaded.object)
    }

    /// What was left out although its author expects an effect.
    pub fn warnings(&self) -> impl Iterator<Item = &Note> {
        let notes = self.files.iter().flat_map(|file| &file.notes);
        notes.filter(|note| note.kind == NoteKind::NotHonoured)
    }

    fn loaded(&self) -> impl Iterator<Item = &Loaded> {
        self.files.iter().flat_map(|file| &file.objects)
    }

    /// Whether it says the same.
    pub fn same_as(&self, other: &Self) -> bool {
        let pairs = || self.files.iter().zip(&other.files);
        let same_files =
            self.files.len() == other.files.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other));
        same_files || (self.objects().eq(other.objects()) && self.warnings().eq(other.warnings()))
    }

    /// The objects that are no longer as they were, and those that were not there as they are; what changed is in both.
    /// Only files that changed are looked into.
    pub fn since(&self, before: &Self) -> (Vec<Object>, Vec<Object>) {
        let old: HashSet<*const Resources> = before.files.iter().map(Arc::as_ptr).collect();
        let new: HashSet<*const Resources> = self.files.iter().map(Arc::as_ptr).collect();
        let only = |configuration: &Self, known: &HashSet<*const Resources>| -> Vec<Object> {
            let files = configuration.files.iter().filter(|file| !known.contains(&Arc::as_ptr(file)));
            files.flat_map(|file| &file.objects).map(|loaded| loaded.object.clone()).collect()
        };
        let (mut removed, mut added) = (only(before, &new), only(self, &old));
        let named = |objects: &[Object]| -> HashMap<Name, Object> {
            objects.iter().map(|object| (name(object), object.clone())).collect()
        };
        let (gone, come) = (named(&removed), named(&added));
        removed.retain(|object| come.get(&name(object)) != Some(object));
        added.retain(|object| gone.get(&name(object)) != Some(object));
        (removed, added)
    }
}

type Name = (Kind, String, String);

fn name(object: &Object) -> Name {
    let metadata = object.metadata();
    (object.kind(), metadata.namespace.clone(), metadata.name.clone())
}

/// Policies that restrict access in a way that nothing here enforces: accepting them would widen access.
fn unenforceable(loaded: &Loaded) -> Option<Problem> {
    let spec = FieldPath::of("spec");
    if let Object::RequestAuthentication(policy) = &loaded.object
        && policy.spec.targets().next().is_none()
    {
        return Some(loaded.problem(
            spec,
            "without targetRefs no waypoint checks tokens, so it would not be enforced",
            "name the Services or Gateways that it is for by targetRefs",
        ));
    }
    let Object::AuthorizationPolicy(policy) = &loaded.object else { return None };
    if policy.spec.action == Action::Custom && policy.spec.targets().next().is_none() {
        return Some(loaded.problem(
            spec.key("action"),
            "without targetRefs nothing asks an external authorizer, so CUSTOM would not be enforced",
            "name what it is for by targetRefs, or write it with ALLOW or DENY",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Arc<Resources> {
        Arc::new(ambit_kubernetes::read_text(Path::new("test.yaml"), text).unwrap())
    }

    fn pod(name: &str, ip: &str) -> String {
        format!(
            "---\n{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: default}}, status: {{podIP: {ip}}}}}\n"
        )
    }

    #[test]
    fn what_changed_is_found_wherever_it_is_written() {
        let kept = file(&pod("kept", "10.0.0.1"));
        let before = Configuration {
            files: vec![
                kept.clone(),
                file(&(pod("same", "10.0.0.2") + &pod("moved", "10.0.0.3"))),
                file(&pod("gone", "10.0.0.4")),
            ],
        };
        let after = Configuration {
            files: vec![
                file(&(pod("same", "10.0.0.2") + &pod("new", "10.0.0.5"))),
                kept,
                file(&pod("moved", "10.0.0.6")),
            ],
        };
        let names = |objects: Vec<Object>| -> Vec<String> {
            objects.iter().map(|object| object.metadata().name.clone()).collect()
        };
        let (removed, added) = after.since(&before);
        assert_eq!(
            (names(removed), names(added)),
            (vec!["moved".into(), "gone".into()], vec!["new".into(), "moved".into()])
        );
        let (removed, added) = before.since(&Configuration::default());
        assert_eq!((names(removed).len(), names(added).len()), (0, 4));
        assert!(!after.same_as(&before));
        assert!(before.same_as(&Configuration { files: before.files.clone() }));
    }
}
