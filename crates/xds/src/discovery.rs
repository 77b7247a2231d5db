//! The discovery response with its resources left encoded: the server encodes a resource once for everybody, and the
//! client meets one malformed resource without losing the others.
//!
//! On the wire these are Envoy's `DeltaDiscoveryResponse` and `Resource`: an embedded message and a bytes field look
//! the same.

use bytes::Bytes;

/// The path of the one method of incremental aggregated discovery.
pub(crate) const METHOD: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// The service's full name.
pub(crate) const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

/// How our server names itself in `control_plane.identifier`. A client that sees it may send long requests.
pub(crate) const IDENTIFIER: &str = "ambit.mesh/controller";

/// What our server writes into `system_version_info` of a response that does not yet complete the first state of
/// its type. A client that knows it waits for the rest before it counts the type as synchronised.
pub(crate) const MORE: &str = "ambit.mesh/more";

/// Node metadata by which our client says that it knows [`MORE`]. Others get their first state in one response,
/// because they count as synchronised after it.
pub(crate) const KNOWS_MORE: &str = "AMBIT_PARTIAL_RESPONSES";

/// Envoy `DeltaDiscoveryResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Response {
    #[prost(string, tag = "1")]
    pub(crate) system_version_info: String,
    /// Encoded [`Resource`]s.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub(crate) resources: Vec<Bytes>,
    #[prost(string, tag = "4")]
    pub(crate) type_url: String,
    #[prost(string, tag = "5")]
    pub(crate) nonce: String,
    #[prost(string, repeated, tag = "6")]
    pub(crate) removed_resources: Vec<String>,
    #[prost(message, optional, tag = "7")]
    pub(crate) control_plane: Option<ambit_proto::envoy::core::ControlPlane>,
}

impl Response {
    /// Whether more responses follow before the first state of the type is complete.
    pub(crate) fn partial(&self) -> bool {
        self.system_version_info == MORE
    }

    /// Whether our own server sent it.
    pub(crate) fn is_ours(&self) -> bool {
        self.control_plane.as_ref().is_some_and(|plane| plane.identifier == IDENTIFIER)
    }
}

/// Envoy `Resource`, without the parts that mesh resources do not use.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Resource {
    #[prost(string, tag = "1")]
    pub(crate) version: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) resource: Option<Any>,
    #[prost(string, tag = "3")]
    pub(crate) name: String,
}

/// `google.protobuf.Any` with shared bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Any {
    #[prost(string, tag = "1")]
    pub(crate) type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_proto::envoy::discovery;
    use prost::Message;

    #[test]
    fn the_generated_messages_read_and_write_the_same_bytes() {
        let resource = Resource {
            version: "v".into(),
            resource: Some(Any { type_url: "t".into(), value: Bytes::from_static(b"xyz") }),
            name: "n".into(),
        };
        let ours = Response {
            system_version_info: "s".into(),
            resources: vec![resource.encode_to_vec().into()],
            type_url: "u".into(),
            nonce: "1".into(),
            removed_resources: vec!["gone".into()],
            control_plane: Some(ambit_proto::envoy::core::ControlPlane { identifier: IDENTIFIER.into() }),
        };
        let theirs = discovery::DeltaDiscoveryResponse::decode(ours.encode_to_vec().as_slice()).unwrap();
        assert_eq!(theirs.resources[0].name, "n");
        assert_eq!(theirs.resources[0].resource.as_ref().unwrap().value, b"xyz");
        assert_eq!(Response::decode(theirs.encode_to_vec().as_slice()).unwrap(), ours);
    }
}
