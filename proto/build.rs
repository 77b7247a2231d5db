//! Compiles the messages and services under `proto/` without the protoc program.

use std::{error::Error, io};

const FILES: [&str; 13] = [
    "proto/ambit/l7.proto",
    "proto/envoy/auth.proto",
    "proto/envoy/core.proto",
    "proto/envoy/discovery.proto",
    "proto/envoy/http_status.proto",
    "proto/google/rpc/status.proto",
    "proto/istio/authorization.proto",
    "proto/istio/certificate.proto",
    "proto/istio/workload.proto",
    "proto/istio/zds.proto",
    "proto/opentelemetry/collector.proto",
    "proto/opentelemetry/common.proto",
    "proto/opentelemetry/trace.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build.rs");
    let descriptors =
        protox::compile(FILES, ["proto"]).map_err(|error| io::Error::other(format!("{error:?}")))?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    config.type_name_domain(["."], "type.googleapis.com");
    tonic_prost_build::configure()
        // Equal messages must encode to equal bytes: resource versions are content hashes.
        .btree_map(".")
        .build_transport(false)
        .include_file("packages.rs")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
