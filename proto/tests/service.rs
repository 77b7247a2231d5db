//! Pins the paths and the framing that the generated clients put on the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ambit_proto::envoy::discovery::DeltaDiscoveryRequest;
use ambit_proto::envoy::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_proto::istio::auth::IstioCertificateRequest;
use ambit_proto::istio::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use tonic::body::Body;
use tower_service::Service;

/// Notes the path of each call, and answers that it is not implemented.
#[derive(Clone, Default)]
struct Paths(Arc<Mutex<Vec<String>>>);

impl Service<http::Request<Body>> for Paths {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        self.0.lock().unwrap().push(request.uri().path().to_owned());
        let mut response = http::Response::new(Body::empty());
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/grpc"));
        response.headers_mut().insert("grpc-status", http::HeaderValue::from_static("12"));
        ready(Ok(response))
    }
}

#[test]
fn paths() {
    let paths = Paths::default();
    tokio_test::block_on(async {
        let requests = tokio_stream::empty::<DeltaDiscoveryRequest>();
        let refused =
            AggregatedDiscoveryServiceClient::new(paths.clone()).delta_aggregated_resources(requests).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unimplemented);
        let refused = IstioCertificateServiceClient::new(paths.clone())
            .create_certificate(IstioCertificateRequest::default())
            .await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Unimplemented);
    });
    assert_eq!(
        *paths.0.lock().unwrap(),
        [
            "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
            "/istio.v1.auth.IstioCertificateService/CreateCertificate",
        ]
    );
}
