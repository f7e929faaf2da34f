//! How Envoy speaks to each service: HTTP/2, to the less busy of two, within limits, around what fails.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use envoy_types::pb::envoy::config::cluster::v3 as cluster;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstream;

use super::pack::{self, millis, number, percent, seconds, truth};
use crate::config::GatewayConfig;

/// The cluster that leads back to Envoy's own door: through it Envoy fetches the public keys, which identity serves as
/// gRPC and only the transcoder turns into JSON.
pub const EDGE: &str = "edge";
/// The cluster of the control plane, which Envoy's bootstrap names.
pub const XDS: &str = "xds";

/// The cluster of a service in Consul. Its endpoints come separately.
pub fn service(name: &str, config: &GatewayConfig) -> cluster::Cluster {
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds as i32,
        )),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig {
            eds_config: pack::from_ads(),
            ..Default::default()
        }),
        lb_policy: cluster::cluster::LbPolicy::LeastRequest as i32,
        connect_timeout: millis(config.connect_timeout_ms),
        per_connection_buffer_limit_bytes: number(1 << 20),
        // Consul checks health; what it takes out is out, whatever Envoy last saw of it. Calls under way go on.
        ignore_health_on_host_removal: true,
        outlier_detection: Some(outliers()),
        circuit_breakers: Some(cluster::CircuitBreakers {
            thresholds: vec![limits(config.max_requests, config)],
            ..Default::default()
        }),
        typed_extension_protocol_options: http2(),
        ..Default::default()
    }
}

/// The name of the cluster for a service's streams.
pub fn streams_of(service: &str) -> String {
    format!("{service}-streams")
}

/// The same instances again, for streams: they stay for days and must not use up what requests may.
pub fn streams(name: &str, config: &GatewayConfig) -> cluster::Cluster {
    let mut cluster = service(name, config);
    cluster.name = streams_of(name);
    if let Some(found) = &mut cluster.eds_cluster_config {
        found.service_name = name.to_owned();
    }
    if let Some(breakers) = &mut cluster.circuit_breakers {
        breakers.thresholds = vec![limits(config.max_streams, config)];
    }
    cluster
}

/// The cluster that leads back to Envoy's own door.
pub fn edge(config: &GatewayConfig) -> cluster::Cluster {
    let endpoint =
        endpoint::Endpoint { address: pack::address(reachable(config.edge_bind)), ..Default::default() };
    let fixed = fixed(EDGE, endpoint, cluster::cluster::DiscoveryType::Static, config);
    cluster::Cluster { typed_extension_protocol_options: ProtocolOptions::new(), ..fixed }
}

/// The cluster of one endpoint that is known beforehand and speaks HTTP/2.
pub fn fixed(
    name: &str,
    endpoint: endpoint::Endpoint,
    found: cluster::cluster::DiscoveryType,
    config: &GatewayConfig,
) -> cluster::Cluster {
    let endpoint = endpoint::LbEndpoint {
        host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint)),
        ..Default::default()
    };
    cluster::Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(found as i32)),
        connect_timeout: millis(config.connect_timeout_ms),
        load_assignment: Some(endpoint::ClusterLoadAssignment {
            cluster_name: name.to_owned(),
            endpoints: vec![endpoint::LocalityLbEndpoints {
                lb_endpoints: vec![endpoint],
                ..Default::default()
            }],
            ..Default::default()
        }),
        typed_extension_protocol_options: http2(),
        ..Default::default()
    }
}

/// An address that is listened on, as one that can be connected to.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let ip = match bind.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, bind.port())
}

/// An instance that cannot be connected to, or says that it is unavailable, again and again, is left alone for a while.
/// Errors of the application are its own business. Where half are out, all are tried: better some calls than none.
fn outliers() -> cluster::OutlierDetection {
    cluster::OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(2),
        enforcing_consecutive_local_origin_failure: number(100),
        consecutive_gateway_failure: number(5),
        enforcing_consecutive_gateway_failure: number(100),
        enforcing_consecutive_5xx: number(0),
        enforcing_success_rate: number(0),
        enforcing_local_origin_success_rate: number(0),
        interval: seconds(1),
        base_ejection_time: seconds(5),
        max_ejection_time: seconds(30),
        max_ejection_percent: number(50),
        always_eject_one_host: truth(true),
        ..Default::default()
    }
}

fn limits(max_requests: u32, config: &GatewayConfig) -> cluster::circuit_breakers::Thresholds {
    cluster::circuit_breakers::Thresholds {
        max_connections: number(1024),
        max_pending_requests: number(config.max_pending_requests),
        max_requests: number(max_requests),
        retry_budget: Some(cluster::circuit_breakers::thresholds::RetryBudget {
            budget_percent: percent(f64::from(config.retry_budget_percent)),
            min_retry_concurrency: number(10),
            ..Default::default()
        }),
        track_remaining: true,
        ..Default::default()
    }
}

type ProtocolOptions = std::collections::HashMap<String, envoy_types::pb::google::protobuf::Any>;

fn http2() -> ProtocolOptions {
    use upstream::http_protocol_options::explicit_http_config::ProtocolConfig;
    use upstream::http_protocol_options::{ExplicitHttpConfig, UpstreamProtocolOptions};
    let http2 = core::Http2ProtocolOptions {
        initial_stream_window_size: number(1 << 20),
        initial_connection_window_size: number(4 << 20),
        // Notices a peer that is gone without a word.
        connection_keepalive: Some(core::KeepaliveSettings {
            interval: seconds(10),
            timeout: seconds(3),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = upstream::HttpProtocolOptions {
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(300),
            ..Default::default()
        }),
        upstream_protocol_options: Some(UpstreamProtocolOptions::ExplicitHttpConfig(ExplicitHttpConfig {
            protocol_config: Some(ProtocolConfig::Http2ProtocolOptions(http2)),
        })),
        ..Default::default()
    };
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    [(name.to_owned(), pack::any(&options))].into()
}
