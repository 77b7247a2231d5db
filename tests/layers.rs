//! Dependencies between our packages point down, and the privileged crates stay where they are.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// The level of each package; a package may depend on lower levels only.
const LEVELS: &[(&str, u8)] = &[
    ("ambit-model", 0),
    ("ambit-proto", 0),
    ("ambit-transport", 1),
    ("ambit-identity", 1),
    ("ambit-policy", 1),
    ("ambit-telemetry", 1),
    ("ambit-netns", 1),
    ("ambit-external", 2),
    ("ambit-hbone", 2),
    ("ambit-xds", 2),
    ("ambit-zds", 2),
    ("ambit-app", 2),
    ("ambit-kubernetes", 2),
    ("ambit-ztunnel", 3),
    ("ambit-agent", 3),
    ("ambit-controller", 3),
    ("ambit-waypoint", 3),
    ("ambit-cli", 4),
    ("ambit-micro", 5),
    ("ambit-tests", 5),
    ("ambit-benches", 5),
];

/// Who may depend directly on what only a few may see.
const ONLY: &[(&str, &[&str])] = &[
    (
        "ambit-proto",
        &["ambit-xds", "ambit-zds", "ambit-external", "ambit-identity", "ambit-controller", "ambit-tests"],
    ),
    ("ambit-kubernetes", &["ambit-controller", "ambit-agent", "ambit-cli", "ambit-tests"]),
    ("rustls", &["ambit-identity"]),
    ("tokio-rustls", &["ambit-identity"]),
    ("rustls-webpki", &["ambit-identity"]),
];

struct Manifest {
    name: String,
    /// Normal and build dependencies.
    dependencies: Vec<String>,
}

fn manifests() -> Vec<Manifest> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let manifest = |package: &serde_json::Value| Manifest {
        name: package["name"].as_str().unwrap().into(),
        dependencies: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| dependency["name"].as_str().unwrap().into())
            .collect(),
    };
    packages.iter().map(manifest).collect()
}

#[test]
fn dependencies_point_down() {
    let levels: BTreeMap<_, _> = LEVELS.iter().copied().collect();
    let manifests = manifests();
    assert_eq!(manifests.len(), LEVELS.len(), "every package of the workspace has a level, and no other");
    for manifest in manifests {
        let level = levels.get(manifest.name.as_str());
        let level = level.unwrap_or_else(|| panic!("{} has no level in tests/layers.rs", manifest.name));
        for dependency in &manifest.dependencies {
            if let Some(below) = levels.get(dependency.as_str()) {
                let (name, message) = (&manifest.name, "dependencies point down only");
                assert!(
                    below < level,
                    "{name} (level {level}) depends on {dependency} (level {below}): {message}"
                );
            }
        }
    }
}

#[test]
fn what_few_may_see_is_seen_by_few() {
    for manifest in manifests() {
        for (dependency, allowed) in ONLY {
            let uses = manifest.dependencies.iter().any(|name| name == dependency);
            let name = manifest.name.as_str();
            assert!(
                !uses || allowed.contains(&name),
                "{name} may not depend on {dependency}: see ARCHITECTURE.md"
            );
        }
    }
}

#[test]
fn unsafe_is_in_one_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if name.ends_with(".rs") && !path.ends_with("tests/layers.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                if text.contains("allow(unsafe_code)") {
                    found.push(path.strip_prefix(root).unwrap().to_path_buf());
                }
            }
        }
    }
    assert_eq!(found, [Path::new("crates/netns/src/sys.rs")]);
}
