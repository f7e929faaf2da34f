//! What a request goes through, in order: names, origin, scripts, compression, gRPC-Web, token, size, limits, body, JSON,
//! and away.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3 as buffer;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3 as cors;
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3 as authz;
use envoy_types::pb::envoy::extensions::filters::http::grpc_json_transcoder::v3 as transcoder;
use envoy_types::pb::envoy::extensions::filters::http::grpc_web::v3 as web;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3 as jwt;
use envoy_types::pb::envoy::extensions::filters::http::router::v3 as router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::google::protobuf;
use prost::{Message, Name};

use super::pack::{self, number, seconds, span};
use super::replies::FAILURE;
use super::{clusters, compression, ids, rations, script};
use crate::config::GatewayConfig;
use crate::surface::Surface;

pub const CORS: &str = "envoy.filters.http.cors";
pub const JWT: &str = "envoy.filters.http.jwt_authn";
pub const GRPC_WEB: &str = "envoy.filters.http.grpc_web";
pub const BUFFER: &str = "envoy.filters.http.buffer";
pub const RATELIMIT: &str = "envoy.filters.http.ratelimit";
pub const EXT_AUTHZ: &str = "envoy.filters.http.ext_authz";
pub const TRANSCODER: &str = "envoy.filters.http.grpc_json_transcoder";
/// The requirement of a valid access token.
pub const SIGNED_IN: &str = "signed_in";
/// Under this name the token filter notes what a verified token says.
pub const CLAIMS: &str = "claims";

/// Who signs access tokens, and for whom they are.
const ISSUER: &str = "artel";
const AUDIENCE: &str = "artel";

/// The filters of the plain door or of HTTPS.
pub fn build(surface: &Surface, config: &GatewayConfig, tls: bool) -> Vec<hcm::HttpFilter> {
    let mut filters = ids::filters(config, tls);
    filters.push(filter(CORS, &cors::Cors {}));
    filters.push(script::filter());
    filters.extend(compression::filters(config));
    filters.extend([
        // Before anything that may refuse: a browser's gRPC client must be able to read the refusal.
        filter(GRPC_WEB, &web::GrpcWeb {}),
        filter(JWT, &tokens(config)),
        // Unary requests only; streams switch it off and flow through.
        filter(BUFFER, &buffer::Buffer { max_request_bytes: number(config.max_body_bytes) }),
        // After the body is there: a body that waits for an answer here fills the connection's buffer to the brim, and
        // who looks at its size would wait for more that never comes.
        filter(RATELIMIT, &rations::filter()),
        // Routes with a JSON body switch it on.
        hcm::HttpFilter { disabled: true, ..filter(EXT_AUTHZ, &body_check(config)) },
        filter(TRANSCODER, &json(surface, config)),
        filter(
            "envoy.filters.http.router",
            &router::Router { suppress_envoy_headers: true, ..Default::default() },
        ),
    ]);
    filters
}

/// A filter.
pub fn filter<M: Message + Name>(name: &str, config: &M) -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: name.to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(pack::any(config))),
        ..Default::default()
    }
}

/// A token that is there must be good, everywhere but at the entrance; where the route says so, it must be there. It
/// goes on to the service, which verifies it again.
fn tokens(config: &GatewayConfig) -> jwt::JwtAuthentication {
    use jwt::jwt_requirement::RequiresType;
    let requirement = |kind| jwt::JwtRequirement { requires_type: Some(kind) };
    let provider = || requirement(RequiresType::ProviderName(ISSUER.to_owned()));
    let if_any = requirement(RequiresType::RequiresAny(jwt::JwtRequirementOrList {
        requirements: vec![provider(), requirement(RequiresType::AllowMissing(protobuf::Empty {}))],
    }));
    let keys = jwt::RemoteJwks {
        http_uri: Some(core::HttpUri {
            uri: "http://edge/.well-known/jwks.json".to_owned(),
            timeout: seconds(2),
            http_upstream_type: Some(core::http_uri::HttpUpstreamType::Cluster(clusters::EDGE.to_owned())),
        }),
        cache_duration: seconds(config.keys_cache_seconds),
        // Fetched beside the traffic, and before the listener opens only if that does not hold it up: the way to the
        // keys leads through this very listener.
        async_fetch: Some(jwt::JwksAsyncFetch { fast_listener: true, failed_refetch_duration: seconds(1) }),
        ..Default::default()
    };
    let provider_config = jwt::JwtProvider {
        issuer: ISSUER.to_owned(),
        audiences: vec![AUDIENCE.to_owned()],
        require_expiration: true,
        forward: true,
        clock_skew_seconds: 5,
        // So that the answer to an expired token can say that it is only that.
        failed_status_in_metadata: FAILURE.to_owned(),
        payload_in_metadata: CLAIMS.to_owned(),
        from_headers: vec![jwt::JwtHeader {
            name: "authorization".to_owned(),
            value_prefix: "Bearer ".to_owned(),
        }],
        // Services verify a token again, and remember it, too.
        jwt_cache_config: (config.remembered_tokens > 0)
            .then(|| jwt::JwtCacheConfig { jwt_cache_size: config.remembered_tokens, ..Default::default() }),
        jwks_source_specifier: Some(jwt::jwt_provider::JwksSourceSpecifier::RemoteJwks(keys)),
        ..Default::default()
    };
    let everywhere = jwt::RequirementRule {
        r#match: Some(route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
            ..Default::default()
        }),
        requirement_type: Some(jwt::requirement_rule::RequirementType::Requires(if_any)),
    };
    jwt::JwtAuthentication {
        providers: [(ISSUER.to_owned(), provider_config)].into(),
        requirement_map: [(SIGNED_IN.to_owned(), provider())].into(),
        rules: vec![everywhere],
        bypass_cors_preflight: true,
        ..Default::default()
    }
}

/// The gateway reads JSON bodies and queries against the contracts, and counts these requests. Without a gateway they pass
/// unread and uncounted: the transcoder and the services still refuse what they would misunderstand.
fn body_check(config: &GatewayConfig) -> authz::ExtAuthz {
    let service = core::GrpcService {
        timeout: span(Duration::from_millis(500)),
        target_specifier: Some(core::grpc_service::TargetSpecifier::EnvoyGrpc(
            core::grpc_service::EnvoyGrpc { cluster_name: clusters::XDS.to_owned(), ..Default::default() },
        )),
        ..Default::default()
    };
    authz::ExtAuthz {
        transport_api_version: core::ApiVersion::V3 as i32,
        services: Some(authz::ext_authz::Services::GrpcService(service)),
        failure_mode_allow: true,
        with_request_body: Some(authz::BufferSettings {
            // One more than may be: what is too long must be seen to be.
            max_request_bytes: config.max_body_bytes + 1,
            allow_partial_message: false,
            pack_as_bytes: true,
        }),
        // It needs none: tokens stay where they are.
        allowed_headers: Some(matcher::ListStringMatcher {
            patterns: vec![pack::exactly("content-type"), pack::exactly("x-request-id")],
        }),
        // Whose the verified token is, for the limits.
        metadata_context_namespaces: vec![JWT.to_owned()],
        ..Default::default()
    }
}

fn json(surface: &Surface, config: &GatewayConfig) -> transcoder::GrpcJsonTranscoder {
    use transcoder::grpc_json_transcoder::{DescriptorSet, PrintOptions, RequestValidationOptions};
    transcoder::GrpcJsonTranscoder {
        descriptor_set: Some(DescriptorSet::ProtoDescriptorBin(artel_proto::DESCRIPTORS.to_vec())),
        services: surface.transcoded().into_iter().collect(),
        convert_grpc_status: true,
        // The route of the REST path is the method's own; looking again by the gRPC path would find no better one.
        match_incoming_request_route: true,
        query_param_unescape_plus: true,
        print_options: Some(PrintOptions {
            always_print_primitive_fields: true,
            stream_newline_delimited: true,
            ..Default::default()
        }),
        request_validation_options: Some(RequestValidationOptions {
            reject_unknown_method: true,
            reject_unknown_query_parameters: true,
            reject_binding_body_field_collisions: true,
        }),
        max_request_body_size: number(config.max_body_bytes),
        max_response_body_size: number(config.max_answer_bytes),
        ..Default::default()
    }
}
