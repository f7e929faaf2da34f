//! Which requests are counted, and what the gateway is told of them to count by.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::ratelimit::v3::RateLimitServiceConfig;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::ratelimit::v3 as ratelimit;
use envoy_types::pb::envoy::r#type::metadata::v3 as metadata;
use metadata::metadata_key::{PathSegment, path_segment};
use route::rate_limit::action::{ActionSpecifier, GenericKey, MaskedRemoteAddress, MetaData, meta_data};

use super::filters::{CLAIMS, JWT};
use super::{clusters, pack};
use crate::config::GatewayConfig;
use crate::limiter::{FORM, GRPC, METHOD};

/// How many bits of an IPv4 address are counted as one.
pub const V4_BITS: u32 = 32;
/// And of IPv6: whoever has an address of such a network has 2^64 of them.
pub const V6_BITS: u32 = 64;

/// The filter that asks. Without an answer the request goes on: a limit must not be what closes the door.
pub fn filter() -> ratelimit::RateLimit {
    let service = core::GrpcService {
        timeout: pack::millis(200),
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc { cluster_name: clusters::XDS.to_owned(), ..Default::default() },
        )),
        ..Default::default()
    };
    ratelimit::RateLimit {
        domain: "artel".to_owned(),
        timeout: pack::millis(200),
        failure_mode_deny: false,
        rate_limited_as_resource_exhausted: true,
        // The headers are ours, for all answers.
        disable_x_envoy_ratelimited_header: true,
        rate_limit_service: Some(RateLimitServiceConfig {
            grpc_service: Some(service),
            transport_api_version: core::ApiVersion::V3 as i32,
        }),
        ..Default::default()
    }
}

/// What is told of the requests of a route: the method, the network address that Envoy sees itself, and of a verified
/// token whose it is. Never what a header says.
pub fn of(method: &str, grpc: bool, config: &GatewayConfig) -> Vec<route::RateLimit> {
    if !config.limits.on {
        return Vec::new();
    }
    let named = |key: &str, value: &str| {
        ActionSpecifier::GenericKey(GenericKey {
            descriptor_key: key.to_owned(),
            descriptor_value: value.to_owned(),
            ..Default::default()
        })
    };
    let address = MaskedRemoteAddress {
        v4_prefix_mask_len: pack::number(V4_BITS),
        v6_prefix_mask_len: pack::number(V6_BITS),
    };
    let actions = [
        named(METHOD, method),
        named(FORM, if grpc { GRPC } else { "rest" }),
        ActionSpecifier::MaskedRemoteAddress(address),
        ActionSpecifier::Metadata(claim("user", "sub")),
        ActionSpecifier::Metadata(claim("workspace", "workspace")),
    ];
    let actions = actions.map(|action| route::rate_limit::Action { action_specifier: Some(action) });
    vec![route::RateLimit { actions: actions.into(), ..Default::default() }]
}

/// What the verified token says, where there is one.
fn claim(key: &str, name: &str) -> MetaData {
    let segment = |key: &str| PathSegment { segment: Some(path_segment::Segment::Key(key.to_owned())) };
    MetaData {
        descriptor_key: key.to_owned(),
        metadata_key: Some(metadata::MetadataKey {
            key: JWT.to_owned(),
            path: vec![segment(CLAIMS), segment(name)],
        }),
        source: meta_data::Source::Dynamic as i32,
        skip_if_absent: true,
        ..Default::default()
    }
}
