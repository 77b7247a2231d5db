//! The server to a client that is not ours: the generated one, which knows nothing of our additions.

use ambit_model::Text;
use ambit_proto::envoy::discovery::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use ambit_proto::envoy::discovery::{DeltaDiscoveryRequest, DeltaDiscoveryResponse};
use ambit_proto::google::rpc;
use ambit_proto::istio::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use ambit_xds::{Kind, Store, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Streaming};

use crate::network::{Network, service};

async fn open(
    network: &Network,
) -> (mpsc::UnboundedSender<DeltaDiscoveryRequest>, Streaming<DeltaDiscoveryResponse>) {
    let (sender, requests) = mpsc::unbounded_channel();
    sender
        .send(DeltaDiscoveryRequest {
            node: Some(Default::default()),
            type_url: Kind::Address.type_url().into(),
            ..Default::default()
        })
        .unwrap();
    let mut client =
        AggregatedDiscoveryServiceClient::with_origin(network.clone(), "http://c".parse().unwrap())
            .max_decoding_message_size(200 << 20);
    let responses = client.delta_aggregated_resources(UnboundedReceiverStream::new(requests)).await;
    (sender, responses.unwrap().into_inner())
}

#[tokio::test(start_paused = true)]
async fn gets_its_first_state_whole_and_then_differences() {
    let (network, store) = (Network::default(), Store::default());
    let long = "x".repeat(1 << 20);
    store.publish(Kind::Address, (0..6).map(|at| service(&at.to_string(), &long)));
    let reports = network.up(&store);
    let (sender, mut responses) = open(&network).await;
    let first = responses.message().await.unwrap().unwrap();
    assert_eq!((first.resources.len(), first.system_version_info.as_str()), (6, ""));
    let any = first.resources[0].resource.as_ref().unwrap();
    assert_eq!(any.type_url, Kind::Address.type_url());
    let name: Text = first.resources[0].name.as_str().into();
    assert!(wire::decode_address(&any.value, &name, &mut Default::default()).is_ok());

    store.update(Kind::Address, [service("7", "short")], ["ns/0".into()]);
    let nack = DeltaDiscoveryRequest {
        type_url: first.type_url.clone(),
        response_nonce: first.nonce,
        error_detail: Some(rpc::Status { message: "ns/1: no".into(), ..Default::default() }),
        ..Default::default()
    };
    sender.send(nack).unwrap();
    let second = responses.message().await.unwrap().unwrap();
    assert_eq!((second.resources.len(), second.removed_resources), (1, vec!["ns/0".to_owned()]));
    assert_eq!(reports.rejected.lock().unwrap()[0].2, "ns/1: no");

    // Other types are not served: no answer, and the stream goes on.
    let other = DeltaDiscoveryRequest { type_url: "type.googleapis.com/x".into(), ..Default::default() };
    sender.send(other).unwrap();
    let ack = DeltaDiscoveryRequest {
        type_url: first.type_url,
        response_nonce: second.nonce,
        ..Default::default()
    };
    sender.send(ack).unwrap();
    store.update(Kind::Address, [service("8", "short")], []);
    assert_eq!(responses.message().await.unwrap().unwrap().resources[0].name, "ns/8");
    drop(sender);
    assert!(responses.message().await.unwrap().is_none(), "the server ends with the client");
}

#[tokio::test(start_paused = true)]
async fn is_refused_without_a_node_or_a_first_request() {
    let (network, store) = (Network::default(), Store::default());
    network.up(&store);
    let mut client =
        AggregatedDiscoveryServiceClient::with_origin(network.clone(), "http://c".parse().unwrap());
    let nameless = DeltaDiscoveryRequest { type_url: Kind::Address.type_url().into(), ..Default::default() };
    let responses = client.delta_aggregated_resources(tokio_stream::once(nameless)).await.unwrap();
    let refused = responses.into_inner().message().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let responses = client.delta_aggregated_resources(tokio_stream::pending()).await.unwrap();
    let refused = responses.into_inner().message().await.unwrap_err();
    assert_eq!(refused.code(), Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn is_told_when_a_service_is_not_mounted() {
    let (network, store) = (Network::default(), Store::default());
    network.up(&store);
    let mut client = IstioCertificateServiceClient::with_origin(network, "http://c".parse().unwrap());
    let refused = client.create_certificate(tonic::Request::new(Default::default())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test(start_paused = true)]
async fn is_let_go_soon_after_the_server_is_told_to_stop() {
    let (network, store) = (Network::default(), Store::default());
    network.up(&store);
    let (_sender, mut responses) = open(&network).await;
    responses.message().await.unwrap().unwrap();
    let asked = tokio::time::Instant::now();
    network.stop();
    assert!(responses.message().await.is_err(), "the stream is cut");
    assert!(asked.elapsed() < std::time::Duration::from_secs(2), "after {:?}", asked.elapsed());
}
