//! Certificates of the real authority, right ones by its service and wrong ones by its key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use ambit_identity::csr::certificate_request;
use ambit_identity::source::{AuthorityClient, CertificateSource, IssueError};
use ambit_identity::{Certificate, ControlChannel, ControlSettings, KeyPair, Provider, RootCa};
use ambit_model::Identity;

use crate::mesh::Mesh;
use crate::topology::Side;

/// A runtime for one test's thread.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asks the mesh's certificate service, from a node and with a token.
pub fn ask(
    mesh: &Mesh,
    from: Side,
    token: &Path,
    identity: &Identity,
    lifetime: Duration,
) -> Result<Certificate, IssueError> {
    let mut settings =
        ControlSettings::new(format!("https://{}", Mesh::controller_address()), RootCa::File(mesh.root()));
    settings.token = Some(token.to_owned());
    let key = KeyPair::generate(Provider::default()).unwrap();
    let request = certificate_request(&key, identity).unwrap();
    // The whole of it on this thread, inside the node.
    let asked = mesh.node(from).run(|| {
        let client = AuthorityClient::new(ControlChannel::new(settings).unwrap());
        runtime().block_on(client.issue(identity, request, lifetime))
    });
    let chain = asked.unwrap()?;
    Ok(Certificate::from_pem(&chain, &key, identity, SystemTime::now()).unwrap())
}

/// A valid certificate of a pod on a node, as that node's ztunnel gets it.
pub fn valid(mesh: &Mesh, side: Side, identity: &Identity) -> Certificate {
    ask(mesh, side, &mesh.token(side), identity, Duration::from_secs(3600)).unwrap()
}

/// Files of a certificate that no service would issue.
#[derive(Debug, Clone)]
pub struct Files {
    /// Certificate.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What such a certificate says.
#[derive(Debug, Clone)]
pub struct Wrong<'a> {
    /// `subjectAltName`, in OpenSSL's notation; none leaves it out.
    pub names: Option<&'a str>,
    /// `extendedKeyUsage`.
    pub usage: &'a str,
    /// Validity, as `YYYYMMDDHHMMSSZ`.
    pub from: &'a str,
    /// Its end.
    pub until: &'a str,
}

impl Default for Wrong<'_> {
    fn default() -> Self {
        Self {
            names: Some("URI:spiffe://cluster.local/ns/shop/sa/web"),
            usage: "serverAuth,clientAuth",
            from: "20200101000000Z",
            until: "20490101000000Z",
        }
    }
}

/// Makes a new root: another mesh's.
pub fn other_root(directory: &Path) -> Files {
    fs::create_dir_all(directory).unwrap();
    let files = Files { certificate: directory.join("root-cert.pem"), key: directory.join("root-key.pem") };
    let text = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=other";
    openssl(text, &["-keyout", path(&files.key), "-out", path(&files.certificate)]);
    files
}

/// Signs with the key of `root`, whatever is asked.
pub fn sign(root: &Files, directory: &Path, wrong: &Wrong<'_>) -> Files {
    fs::create_dir_all(directory).unwrap();
    let file = |name: &str| directory.join(name);
    let files = Files { certificate: file("cert.pem"), key: file("key.pem") };
    let request = file("request.pem");
    openssl(
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=test",
        &["-keyout", path(&files.key), "-out", path(&request)],
    );
    let names = wrong.names.map(|names| format!("subjectAltName = {names}\n")).unwrap_or_default();
    let text = format!(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = {0}/index\nnew_certs_dir = {0}\nrand_serial = yes\ndefault_md = sha256\n\
         policy = p\nx509_extensions = x\n[p]\ncommonName = optional\n\
         [x]\nkeyUsage = critical, digitalSignature\nextendedKeyUsage = {1}\n{names}",
        directory.display(),
        wrong.usage
    );
    fs::write(file("openssl.cnf"), text).unwrap();
    fs::write(file("index"), "").unwrap();
    openssl(
        "ca -batch -notext",
        &[
            "-config",
            path(&file("openssl.cnf")),
            "-cert",
            path(&root.certificate),
            "-keyfile",
            path(&root.key),
            "-startdate",
            wrong.from,
            "-enddate",
            wrong.until,
            "-in",
            path(&request),
            "-out",
            path(&files.certificate),
        ],
    );
    files
}

fn openssl(words: &str, paths: &[&str]) {
    let output = Command::new("openssl").args(words.split(' ')).args(paths).output().unwrap();
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}
