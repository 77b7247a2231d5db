//! Certificates for the sidecars, as a mesh's CA would issue them: ECDSA P-256, one SPIFFE identity each.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Files of one identity.
#[derive(Debug, Clone)]
pub struct Files {
    /// The leaf.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The root that both sides trust.
    pub root: PathBuf,
}

/// The identity of a pod of the bench.
pub fn identity(name: &str) -> String {
    format!("spiffe://cluster.local/ns/{}/sa/{name}", super::resources::NAMESPACE)
}

/// Makes a root and a certificate for each name in `directory`.
pub fn make<const N: usize>(directory: &Path, names: [&str; N]) -> anyhow::Result<[Files; N]> {
    std::fs::create_dir_all(directory)?;
    let root = directory.join("root.pem");
    let root_key = directory.join("root-key.pem");
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    let out = |command: &mut Command, certificate: &Path, key: &Path| {
        command.arg("-out").arg(certificate).arg("-keyout").arg(key);
    };
    let mut making = Command::new("openssl");
    making.args(new).args(["-subj", "/O=bench"]).args(["-addext", "keyUsage=critical,keyCertSign"]);
    out(&mut making, &root, &root_key);
    run(making)?;
    let files = names.map(|name| Files {
        certificate: directory.join(format!("{name}.pem")),
        key: directory.join(format!("{name}-key.pem")),
        root: root.clone(),
    });
    for (name, files) in names.iter().zip(&files) {
        let mut making = Command::new("openssl");
        making.args(new).args(["-subj", "/"]).arg("-CA").arg(&root).arg("-CAkey").arg(&root_key);
        for extension in [
            format!("subjectAltName=critical,URI:{}", identity(name)),
            "basicConstraints=critical,CA:FALSE".to_owned(),
            "keyUsage=critical,digitalSignature".to_owned(),
            "extendedKeyUsage=serverAuth,clientAuth".to_owned(),
        ] {
            making.args(["-addext", &extension]);
        }
        out(&mut making, &files.certificate, &files.key);
        run(making)?;
    }
    Ok(files)
}

fn run(mut command: Command) -> anyhow::Result<()> {
    let output = command.output().context("openssl cannot be started: install it")?;
    ensure!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
