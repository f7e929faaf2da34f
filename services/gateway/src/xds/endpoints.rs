//! Where a service's instances are.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;

use super::pack;

/// The instances of a service; none is an answer too.
pub fn build(service: &str, instances: impl Iterator<Item = SocketAddr>) -> endpoint::ClusterLoadAssignment {
    let lb_endpoints = instances
        .map(|address| endpoint::LbEndpoint {
            host_identifier: Some(endpoint::lb_endpoint::HostIdentifier::Endpoint(endpoint::Endpoint {
                address: pack::address(address),
                ..Default::default()
            })),
            ..Default::default()
        })
        .collect();
    endpoint::ClusterLoadAssignment {
        cluster_name: service.to_owned(),
        endpoints: vec![endpoint::LocalityLbEndpoints { lb_endpoints, ..Default::default() }],
        ..Default::default()
    }
}
