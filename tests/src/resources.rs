//! Resources as users write them.

use std::net::SocketAddr;

use crate::pod::{ENROLLED, OUTSIDE};

/// Address of the service with this number, for IPv4 and IPv6.
pub fn vip(number: u8, port: u16) -> [SocketAddr; 2] {
    [format!("10.96.0.{number}:{port}").parse().unwrap(), format!("[fd96::{number}]:{port}").parse().unwrap()]
}

/// The two namespaces.
pub fn namespaces() -> String {
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {ENROLLED}, labels: {{istio.io/dataplane-mode: ambient}}}}\n\
         ---\napiVersion: v1\nkind: Namespace\nmetadata: {{name: {OUTSIDE}}}\n"
    )
}

/// A service of the enrolled namespace with the addresses of [`vip`], from port 80 to 8080 of the pods labelled `app`.
pub fn service(app: &str, number: u8) -> String {
    let [v4, v6] = vip(number, 80).map(|address| address.ip());
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {app}, namespace: {ENROLLED}}}\nspec:\n  \
         clusterIP: {v4}\n  clusterIPs: [\"{v4}\", \"{v6}\"]\n  ipFamilies: [IPv4, IPv6]\n  ipFamilyPolicy: RequireDualStack\n  \
         selector: {{app: {app}}}\n  ports:\n  - {{name: tcp, port: 80, targetPort: 8080}}\n"
    )
}

/// A policy for the pods labelled `app`; `rules` is YAML in one line, such as `[{from: [...]}]`.
pub fn policy(name: &str, app: &str, action: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {ENROLLED}}}\n\
         spec:\n  selector: {{matchLabels: {{app: {app}}}}}\n  action: {action}\n  rules: {rules}\n"
    )
}

/// Rules that match the service accounts of the enrolled namespace.
pub fn from_accounts(accounts: &[&str]) -> String {
    let principals: Vec<String> =
        accounts.iter().map(|account| format!("\"cluster.local/ns/{ENROLLED}/sa/{account}\"")).collect();
    format!("[{{from: [{{source: {{principals: [{}]}}}}]}}]", principals.join(", "))
}

/// The mutual TLS mode of the enrolled namespace.
pub fn peer_authentication(mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: {ENROLLED}}}\n\
         spec: {{mtls: {{mode: {mode}}}}}\n"
    )
}
