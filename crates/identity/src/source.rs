//! Where certificates come from: a CA that answers certificate requests.

use std::collections::BTreeMap;
use std::time::Duration;

use ambit_model::Identity;
use ambit_proto::istio::auth::IstioCertificateRequest;
use ambit_proto::istio::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use futures_util::future::BoxFuture;
use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::{Code, Status};

use crate::ControlChannel;

/// Largest answer read from a CA: a chain and a bundle of some hundred roots.
const LARGEST_ANSWER: usize = 4 << 20;

/// The key of the asked identity in `IstioCertificateRequest.metadata`.
const IMPERSONATED_IDENTITY: &str = "ImpersonatedIdentity";

/// Something that issues certificates.
pub trait CertificateSource: Send + Sync {
    /// Asks for a certificate for `identity` with the key of `csr_pem`, valid for `lifetime` (the issuer may shorten it).
    /// Returns `IstioCertificateResponse.cert_chain`: the leaf, intermediates, and the trust bundle last. The caller
    /// checks what it says and bounds the time.
    fn issue(
        &self,
        identity: &Identity,
        csr_pem: String,
        lifetime: Duration,
    ) -> BoxFuture<'static, Result<Vec<String>, IssueError>>;
}

/// Why no certificate was issued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct IssueError {
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// One line that says why.
    pub message: String,
}

/// A CA behind `istio.v1.auth.IstioCertificateService`: ours, istiod, or another that speaks it. The channel adds the
/// token, the cluster and the extra headers to each call.
#[derive(Debug, Clone)]
pub struct AuthorityClient {
    channel: ControlChannel,
    signer: Option<String>,
}

impl AuthorityClient {
    /// A client over `channel`.
    pub fn new(channel: ControlChannel) -> Self {
        Self { channel, signer: None }
    }

    /// Asks for certificates of a named signer (metadata `CertSigner`).
    pub fn with_signer(mut self, signer: String) -> Self {
        self.signer = Some(signer);
        self
    }

    fn request(&self, identity: &Identity, csr: String, lifetime: Duration) -> IstioCertificateRequest {
        let text = |value: String| Value { kind: Some(Kind::StringValue(value)) };
        let mut fields = BTreeMap::from([(IMPERSONATED_IDENTITY.to_owned(), text(identity.to_string()))]);
        fields.extend(self.signer.clone().map(|signer| ("CertSigner".to_owned(), text(signer))));
        IstioCertificateRequest {
            csr,
            validity_duration: i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX),
            metadata: Some(Struct { fields }),
        }
    }
}

impl CertificateSource for AuthorityClient {
    fn issue(
        &self,
        identity: &Identity,
        csr_pem: String,
        lifetime: Duration,
    ) -> BoxFuture<'static, Result<Vec<String>, IssueError>> {
        let request = self.request(identity, csr_pem, lifetime);
        let mut client = IstioCertificateServiceClient::new(self.channel.clone())
            .max_decoding_message_size(LARGEST_ANSWER);
        Box::pin(async move {
            let answer = client.create_certificate(request).await.map_err(refusal)?;
            Ok(answer.into_inner().cert_chain)
        })
    }
}

/// What a gRPC status means for the next attempt. A refusal of the caller or the identity may be a race with the pod's
/// or the token's appearance at the CA, so it is worth another attempt; a request that the CA cannot serve is not.
fn refusal(status: Status) -> IssueError {
    let retryable = !matches!(
        status.code(),
        Code::InvalidArgument | Code::Unimplemented | Code::OutOfRange | Code::DataLoss
    );
    let message = match status.code() {
        // The channel's own errors arrive as Unknown and already say everything.
        Code::Unknown => status.message().to_owned(),
        code => format!("the CA answered {code:?}: {}", status.message()),
    };
    IssueError { retryable, message: message.lines().collect::<Vec<_>>().join(" ") }
}
