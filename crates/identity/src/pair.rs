//! Would two certificates of one process accept each other? What a handshake between them verifies, without a handshake.

use std::time::{SystemTime, UNIX_EPOCH};

use rustls_pki_types::{CertificateDer, UnixTime};

use crate::verify::{ClientIdentity, PeerRefusal, ServerIdentity};
use crate::{Certificate, ExpectedPeers};

/// Verifies both chains as the two ends of a mesh handshake do: the client's by the server's trust bundle and in its trust
/// domain, the server's by the client's trust bundle and as one of `expected`.
///
/// What a handshake proves beyond that, that each end holds the key of its certificate, was checked when each
/// [`Certificate`] was made. Costs the signature checks of a handshake: keep the answer as long as both certificates last.
///
/// # Errors
/// What the end that refuses would say.
pub fn verify_pair(
    client: &Certificate,
    server: &Certificate,
    expected: &ExpectedPeers,
    now: SystemTime,
) -> Result<(), PeerRefusal> {
    let now = UnixTime::since_unix_epoch(now.duration_since(UNIX_EPOCH).unwrap_or_default());
    let trust_domain = server.identity().trust_domain().clone();
    let by_server = ClientIdentity { bundle: server.bundle().clone(), trust_domain };
    let by_client = ServerIdentity { bundle: client.bundle().clone(), expected: expected.clone() };
    let (leaf, intermediates) = parts(client)?;
    by_server.check(leaf, intermediates, now)?;
    let (leaf, intermediates) = parts(server)?;
    by_client.check(leaf, intermediates, now)?;
    Ok(())
}

type Chain<'a> = (&'a CertificateDer<'static>, &'a [CertificateDer<'static>]);

/// The leaf and what comes with it.
fn parts(certificate: &Certificate) -> Result<Chain<'_>, PeerRefusal> {
    certificate.der().split_first().ok_or_else(|| PeerRefusal::Chain("it is empty".into()))
}

#[cfg(test)]
mod tests {
    use ambit_model::Identity;
    use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};

    use super::*;
    use crate::testing::{HOUR, Root, identity, uri};
    use crate::{KeyPair, Provider, pem};

    fn verify(client: &Certificate, server: &Certificate) -> Result<(), PeerRefusal> {
        verify_pair(client, server, &server.identity().clone().into(), SystemTime::now())
    }

    /// A certificate of `root` for `identity`, with this much of it changed.
    fn made(root: &Root, identity: &Identity, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let key = KeyPair::generate(Provider::default()).unwrap();
        let leaf = root.leaf(&key, |params| {
            params.subject_alt_names = vec![uri(&identity.to_string())];
            change(params);
        });
        let chain = [pem::certificate(&leaf), pem::certificate(&root.der)];
        Certificate::from_pem(&chain, &key, identity, SystemTime::now()).unwrap()
    }

    #[test]
    fn certificates_of_one_root_accept_each_other_while_they_last() {
        let root = Root::new(Provider::default());
        let [web, cart] = ["web", "cart"].map(|account| root.certificate(Provider::default(), account));
        assert_eq!(verify(&web, &cart), Ok(()));
        assert_eq!(verify(&web, &web), Ok(()), "a pod may call itself");
        let expected = cart.identity().clone().into();
        let later = verify_pair(&web, &cart, &expected, SystemTime::now() + 2 * HOUR);
        assert_eq!(later, Err(PeerRefusal::Expired));
        let earlier = verify_pair(&web, &cart, &expected, SystemTime::now() - 2 * HOUR);
        assert_eq!(earlier, Err(PeerRefusal::NotYetValid));
    }

    #[test]
    fn what_a_handshake_refuses_is_refused() {
        let [root, other] = [(); 2].map(|()| Root::new(Provider::default()));
        let [web, cart] = ["web", "cart"].map(|account| root.certificate(Provider::default(), account));
        let stranger = other.certificate(Provider::default(), "cart");
        assert_eq!(verify(&web, &stranger), Err(PeerRefusal::UnknownIssuer));
        assert_eq!(verify(&stranger, &web), Err(PeerRefusal::UnknownIssuer));
        let unexpected = verify_pair(&web, &cart, &identity("other").into(), SystemTime::now());
        assert!(matches!(unexpected, Err(PeerRefusal::Unexpected { .. })), "{unexpected:?}");
        let foreign = Identity::new("elsewhere", "shop", "web").unwrap();
        let foreign = made(&root, &foreign, |_| {});
        assert!(matches!(verify(&foreign, &cart), Err(PeerRefusal::TrustDomain { .. })));
        let refused = verify(&web, &foreign);
        assert!(
            matches!(refused, Err(PeerRefusal::TrustDomain { .. })),
            "a server takes its own domain's clients"
        );
        let only = |usage| {
            let set = |params: &mut CertificateParams| params.extended_key_usages = vec![usage];
            made(&root, &identity("one-way"), set)
        };
        let server_only = only(ExtendedKeyUsagePurpose::ServerAuth);
        assert!(matches!(verify(&server_only, &cart), Err(PeerRefusal::Usage(_))));
        assert_eq!(verify(&web, &server_only), Ok(()));
        let client_only = only(ExtendedKeyUsagePurpose::ClientAuth);
        assert!(matches!(verify(&web, &client_only), Err(PeerRefusal::Usage(_))));
    }
}
