//! Envoy's part of a trace: the span that begins it, and the one around the call to a service.

use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::common::mutation_rules::v3 as mutation;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::envoy::config::trace::v3 as trace;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;

use super::pack::{self, millis, percent, truth};
use super::{clusters, ids};
use crate::config::{Collector, GatewayConfig};

/// The cluster of the collector.
pub const NAME: &str = "otlp";
/// Who these spans are said to come from.
const SERVICE: &str = "envoy";

/// What becomes a trace: what a caller collects, and a share of the rest.
pub fn build(collector: &Collector) -> hcm::http_connection_manager::Tracing {
    let service = core::GrpcService {
        timeout: millis(1000),
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc { cluster_name: NAME.to_owned(), ..Default::default() },
        )),
        ..Default::default()
    };
    let tracer = trace::OpenTelemetryConfig {
        grpc_service: Some(service),
        service_name: SERVICE.to_owned(),
        ..Default::default()
    };
    let provider = trace::tracing::Http {
        name: "envoy.tracers.opentelemetry".to_owned(),
        config_type: Some(trace::tracing::http::ConfigType::TypedConfig(pack::any(&tracer))),
    };
    hcm::http_connection_manager::Tracing {
        random_sampling: percent(collector.percent),
        spawn_upstream_span: truth(true),
        provider: Some(provider),
        ..Default::default()
    }
}

/// A caller that collects its trace has our part of it, too. Envoy asks chance alone, unless it finds this header; the
/// flag in `traceparent` then says whether the span is kept.
pub fn follow_the_caller() -> mutation::HeaderMutation {
    ids::put("x-client-trace-id", "%REQ(TRACEPARENT)%")
}

/// The way to the collector.
pub fn cluster(collector: &Collector, config: &GatewayConfig) -> cluster::Cluster {
    let address = core::SocketAddress {
        address: collector.host.clone(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(collector.port.into())),
        ..Default::default()
    };
    let endpoint = endpoint::Endpoint {
        address: Some(core::Address { address: Some(core::address::Address::SocketAddress(address)) }),
        ..Default::default()
    };
    clusters::fixed(NAME, endpoint, cluster::cluster::DiscoveryType::StrictDns, config)
}
