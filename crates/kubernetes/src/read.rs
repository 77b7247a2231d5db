//! From a document's tree to objects, notes and problems.

use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use crate::gateway_api::{
    BackendTLSPolicy, GRPCRoute, Gateway, GatewayClass, HTTPRoute, ReferenceGrant, TCPRoute, TLSRoute,
};
use crate::istio::{
    ConfigMap, DestinationRule, MESH_CONFIG_MAP, RequestAuthentication, ServiceEntry, Telemetry,
    VirtualService,
};
use crate::kinds::{self, Treatment};
use crate::load::{Loaded, Note, NoteKind};
use crate::problem::{object_name, quoted, shortened};
use crate::yaml::{self, Fault, Strictness, Tree, Value};
use crate::{
    Action, AuthorizationPolicy, EndpointSlice, FieldPath, Kind, Metadata, Namespace, Node, Object,
    PeerAuthentication, Pod, Problem, Secret, Service, ServiceAccount, TLS_SECRET, check,
};

/// What came out of one file or more.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) objects: Vec<Loaded>,
    pub(crate) notes: Vec<Note>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads one document, or one item of a List.
pub(crate) fn document(tree: &Arc<Tree>, file: &Arc<Path>, outcome: &mut Outcome) {
    let complain = |outcome: &mut Outcome, reason: String, remedy: &str| {
        let mut problem = Problem::with_file(file, reason, remedy).at(tree.position);
        problem.object = described(tree);
        outcome.problems.push(problem);
    };
    if !matches!(tree.value, Value::Map(_)) {
        return complain(
            outcome,
            "this document is not an object".to_owned(),
            "write apiVersion, kind and metadata",
        );
    }
    let Some(kind) = tree.text("kind") else {
        return complain(outcome, "this object has no kind".to_owned(), "set apiVersion and kind");
    };
    let Some(api_version) = tree.text("apiVersion") else {
        return complain(outcome, "this object has no apiVersion".to_owned(), "set apiVersion");
    };
    if (api_version, kind) == ("v1", "List") {
        return list(tree, file, outcome);
    }
    let named = format!("{}/{}", shortened(api_version), shortened(kind));
    match kinds::treatment(api_version, kind) {
        Treatment::Read(Kind::ConfigMap) if !is_mesh_config(tree) => {
            note(tree, file, outcome, NoteKind::NotOurs, "is not read by the mesh");
        }
        Treatment::Read(Kind::Secret) if tree.text("type") != Some(TLS_SECRET) => {
            note(tree, file, outcome, NoteKind::NotOurs, "is not read by the mesh");
        }
        Treatment::Read(kind) => known(tree, kind, file, outcome),
        Treatment::NotOurs => note(tree, file, outcome, NoteKind::NotOurs, "is not read by the mesh"),
        Treatment::NotHonoured => {
            note(
                tree,
                file,
                outcome,
                NoteKind::NotHonoured,
                "is not honoured yet: it has no effect on traffic",
            );
        }
        Treatment::Refused => complain(
            outcome,
            format!("{named} restricts access, but nothing here would enforce it"),
            "use an AuthorizationPolicy, or move it out of this directory",
        ),
        Treatment::OtherVersion(supported) => {
            complain(
                outcome,
                format!("apiVersion {} is not supported", quoted(api_version)),
                &format!("use {supported}"),
            );
        }
        Treatment::Unknown => {
            complain(
                outcome,
                format!("{named} is not supported"),
                &format!("supported are {}", kinds::SUPPORTED),
            );
        }
    }
}

/// Of ConfigMaps only the one that holds the mesh's settings is read.
fn is_mesh_config(tree: &Tree) -> bool {
    tree.field("metadata").and_then(|metadata| metadata.text("name")) == Some(MESH_CONFIG_MAP)
}

fn list(tree: &Arc<Tree>, file: &Arc<Path>, outcome: &mut Outcome) {
    match tree.field("items").map(|items| &items.value) {
        Some(Value::List(items)) => {
            for item in items {
                document(item, file, outcome);
            }
        }
        _ => {
            let path = FieldPath::of("items");
            let mut problem = Problem::with_file(file, "a List without a list of items", "set items")
                .at(tree.locate(&path));
            problem.path = path;
            outcome.problems.push(problem);
        }
    }
}

fn note(tree: &Tree, file: &Arc<Path>, outcome: &mut Outcome, kind: NoteKind, text: &str) {
    let object = described(tree).unwrap_or_default();
    let file = Arc::clone(file);
    outcome.notes.push(Note { file, line: tree.position.line, object, kind, text: text.to_owned() });
}

/// Reads an object of a known kind; it is kept only when nothing is wrong with it.
fn known(tree: &Arc<Tree>, kind: Kind, file: &Arc<Path>, outcome: &mut Outcome) {
    match object(tree, kind) {
        Ok(object) => {
            let loaded = match object {
                // Its tree holds what it does not show.
                Object::Secret(_) => Loaded::new(object, Arc::clone(file), tree.position.line),
                _ => Loaded::from_tree(object, Arc::clone(file), Arc::clone(tree)),
            };
            let before = outcome.problems.len();
            check::object(&loaded, &mut outcome.problems);
            if outcome.problems.len() == before {
                warn(&loaded, tree, outcome);
                outcome.objects.push(loaded);
            }
        }
        Err(fault) => outcome.problems.push(Problem {
            object: described(tree),
            path: fault.path,
            ..Problem::with_file(file, fault.reason, fault.remedy).at(fault.position.unwrap_or(tree.position))
        }),
    }
}

/// Says so when a policy asks for something that ztunnel cannot do, and no waypoint is asked.
fn warn(loaded: &Loaded, tree: &Tree, outcome: &mut Outcome) {
    let Object::AuthorizationPolicy(policy) = &loaded.object else { return };
    let unheard = matches!(policy.spec.action, Action::Audit | Action::Custom);
    if unheard && policy.spec.targets().next().is_none() {
        let text = "is not honoured: without targetRefs only ALLOW and DENY are enforced";
        note(tree, &loaded.file, outcome, NoteKind::NotHonoured, text);
    }
}

fn object(tree: &Tree, kind: Kind) -> Result<Object, Fault> {
    /// A kind of which nothing unknown is accepted.
    macro_rules! spec {
        ($kind:ident) => {{
            let (metadata, spec) = strict(tree)?;
            $kind { metadata, spec }.into()
        }};
    }
    let mut object: Object = match kind {
        Kind::Namespace => core::<Namespace>(tree)?.into(),
        Kind::Node => core::<Node>(tree)?.into(),
        Kind::ServiceAccount => core::<ServiceAccount>(tree)?.into(),
        Kind::Pod => core::<Pod>(tree)?.into(),
        Kind::Service => core::<Service>(tree)?.into(),
        Kind::ConfigMap => core::<ConfigMap>(tree)?.into(),
        Kind::Secret => secret(tree)?.into(),
        Kind::EndpointSlice => core::<EndpointSlice>(tree)?.into(),
        Kind::AuthorizationPolicy => spec!(AuthorizationPolicy),
        Kind::PeerAuthentication => spec!(PeerAuthentication),
        Kind::Gateway => spec!(Gateway),
        Kind::GatewayClass => spec!(GatewayClass),
        Kind::HTTPRoute => spec!(HTTPRoute),
        Kind::GRPCRoute => spec!(GRPCRoute),
        Kind::TLSRoute => spec!(TLSRoute),
        Kind::TCPRoute => spec!(TCPRoute),
        Kind::ReferenceGrant => spec!(ReferenceGrant),
        Kind::BackendTLSPolicy => spec!(BackendTLSPolicy),
        Kind::RequestAuthentication => spec!(RequestAuthentication),
        Kind::DestinationRule => spec!(DestinationRule),
        Kind::VirtualService => spec!(VirtualService),
        Kind::ServiceEntry => spec!(ServiceEntry),
        Kind::Telemetry => spec!(Telemetry),
    };
    if !kind.is_namespaced() {
        object.metadata_mut().namespace.clear();
    }
    Ok(object)
}

/// Metadata and `spec` of a kind of which nothing unknown is accepted.
fn strict<T: DeserializeOwned + Default>(tree: &Tree) -> Result<(Metadata, T), Fault> {
    refuse_unknown_parts(tree)?;
    Ok((part(tree, "metadata", Strictness::Lenient)?, part(tree, "spec", Strictness::Strict)?))
}

/// Not by way of its fields' types, whose errors would quote what it holds.
fn secret(tree: &Tree) -> Result<Secret, Fault> {
    let metadata = part(tree, "metadata", Strictness::Lenient)?;
    Secret::from_tree(metadata, tree).map_err(Fault::new)
}

fn core<T: DeserializeOwned>(tree: &Tree) -> Result<T, Fault> {
    yaml::read(tree, None, Strictness::Lenient)
}

fn part<T: DeserializeOwned + Default>(tree: &Tree, name: &str, strictness: Strictness) -> Result<T, Fault> {
    match tree.entry(name) {
        None => Ok(T::default()),
        Some(entry) if entry.value.is_null() && strictness == Strictness::Strict => {
            let fault = Fault::new("this field is empty; write {} for nothing, or give it a value");
            Err(fault.or_at(entry.position, || FieldPath::of(name)))
        }
        Some(entry) if entry.value.is_null() => Ok(T::default()),
        Some(entry) => yaml::read(&entry.value, Some(name), strictness),
    }
}

/// A rule written beside `spec` instead of in it would vanish.
fn refuse_unknown_parts(tree: &Tree) -> Result<(), Fault> {
    const PARTS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];
    let Value::Map(entries) = &tree.value else { return Ok(()) };
    match entries.iter().find(|entry| !PARTS.contains(&entry.key.as_str())) {
        None => Ok(()),
        Some(entry) => {
            let message = yaml::unknown_field(&entry.key, &PARTS);
            Err(Fault::new(&message).or_at(entry.position, FieldPath::root))
        }
    }
}

/// `Kind namespace/name`, as far as the tree tells.
fn described(tree: &Tree) -> Option<String> {
    let kind = tree.text("kind")?;
    let metadata = tree.field("metadata");
    let text = |key| metadata.and_then(|metadata| metadata.text(key)).unwrap_or_default();
    Some(object_name(kind, text("namespace"), text("name")))
}
