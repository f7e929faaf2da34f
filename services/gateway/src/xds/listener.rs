//! The door: where Envoy listens, and what holds for every request before a route is found.

use std::net::SocketAddr;

use envoy_types::pb::envoy::config::accesslog::v3 as log;
use envoy_types::pb::envoy::config::common::mutation_rules::v3 as mutation;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::listener::v3 as listener;
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3 as stdout;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::extensions::http::early_header_mutation::header_mutation::v3 as early;
use envoy_types::pb::envoy::r#type::v3 as kind;
use serde_json::json;

use super::pack::{self, millis, number, seconds, span, truth};
use super::{filters, ids, replies, routes, spans, tls};
use crate::config::GatewayConfig;
use crate::surface::Surface;

/// The plain listener.
const PLAIN: &str = "edge";
/// HTTPS.
const TLS: &str = "edge_tls";

/// The listeners, by name: the plain one, and HTTPS where the operator wants it.
pub fn build(surface: &Surface, config: &GatewayConfig) -> Vec<listener::Listener> {
    let plain = listener(PLAIN, config.edge_bind, None, surface, config);
    let tls = config.tls_bind().map(|bind| listener(TLS, bind, Some(tls::socket()), surface, config));
    [Some(plain), tls].into_iter().flatten().collect()
}

fn listener(
    name: &str,
    bind: SocketAddr,
    socket: Option<core::TransportSocket>,
    surface: &Surface,
    config: &GatewayConfig,
) -> listener::Listener {
    let connections = connections(name, socket.is_some(), surface, config);
    let filter = listener::Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(listener::filter::ConfigType::TypedConfig(pack::any(&connections))),
    };
    let chain =
        listener::FilterChain { filters: vec![filter], transport_socket: socket, ..Default::default() };
    listener::Listener {
        name: name.to_owned(),
        address: pack::address(bind),
        filter_chains: vec![chain],
        per_connection_buffer_limit_bytes: number(1 << 20),
        tcp_backlog_size: number(1024),
        ..Default::default()
    }
}

fn connections(
    name: &str,
    tls: bool,
    surface: &Surface,
    config: &GatewayConfig,
) -> hcm::HttpConnectionManager {
    hcm::HttpConnectionManager {
        stat_prefix: name.to_owned(),
        // HTTP/1.1 and HTTP/2 on one port: told apart by their first bytes, or agreed on with TLS.
        codec_type: hcm::http_connection_manager::CodecType::Auto as i32,
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(hcm::Rds {
            config_source: pack::from_ads(),
            route_config_name: routes::NAME.to_owned(),
        })),
        http_filters: filters::build(surface, config, tls),
        local_reply_config: Some(replies::build(config)),
        early_header_mutation_extensions: vec![strip(config)],
        tracing: config.collector.as_ref().map(spans::build),
        server_name: "artel".to_owned(),
        // Nobody is internal, loopback included: nobody outside may steer Envoy with its own headers.
        use_remote_address: truth(true),
        internal_address_config: Some(hcm::http_connection_manager::InternalAddressConfig {
            cidr_ranges: vec![core::CidrRange {
                address_prefix: "255.255.255.255".to_owned(),
                prefix_len: number(32),
            }],
            ..Default::default()
        }),
        always_set_request_id_in_response: true,
        normalize_path: truth(true),
        merge_slashes: true,
        // An escaped slash stays a character of its segment; that it is no id is for the service to say.
        path_with_escaped_slashes_action:
            hcm::http_connection_manager::PathWithEscapedSlashesAction::KeepUnchanged as i32,
        max_request_headers_kb: number(config.max_headers_kib),
        request_headers_timeout: millis(config.headers_timeout_ms),
        stream_idle_timeout: span(config.idle_timeout()),
        common_http_protocol_options: Some(core::HttpProtocolOptions {
            idle_timeout: seconds(300),
            max_headers_count: number(config.max_headers),
            ..Default::default()
        }),
        http2_protocol_options: Some(core::Http2ProtocolOptions {
            max_concurrent_streams: number(1024),
            // Never as large as a body may be: a window that fills the buffer to the brim leaves both sides waiting.
            initial_stream_window_size: number((256 << 10) - 1),
            initial_connection_window_size: number(4 << 20),
            ..Default::default()
        }),
        // One bad request ends itself, not the connection with everything else on it.
        stream_error_on_invalid_http_message: truth(true),
        access_log: vec![access_log(config)],
        ..Default::default()
    }
}

/// Only services speak in `x-artel-*`; whoever comes from outside has these taken away before anything looks at them.
/// The transcoder's marks are taken too: the form of an error answer is chosen by them. The name that a caller gives its
/// request is set aside until it is looked at.
fn strip(config: &GatewayConfig) -> core::TypedExtensionConfig {
    let remove = |prefix| mutation::HeaderMutation {
        action: Some(mutation::header_mutation::Action::RemoveOnMatch(
            mutation::header_mutation::RemoveOnMatch { key_matcher: Some(pack::starting_with(prefix)) },
        )),
    };
    let mut mutations = vec![remove("x-artel-"), remove("x-envoy-original-")];
    mutations.extend(ids::set_aside());
    mutations.extend(config.collector.as_ref().map(|_| spans::follow_the_caller()));
    core::TypedExtensionConfig {
        name: "envoy.http.early_header_mutation.header_mutation".to_owned(),
        typed_config: Some(pack::any(&early::HeaderMutation { mutations })),
    }
}

/// What failed or was slow, and a sample of the rest. The query is left out: it may hold what is nobody's business.
fn access_log(config: &GatewayConfig) -> log::AccessLog {
    let line = json!({
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "level": "INFO",
        "target": "access",
        "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "grpc_status": "%GRPC_STATUS%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "duration_ms": "%DURATION%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "service": "%UPSTREAM_CLUSTER%",
        "instance": "%UPSTREAM_HOST%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "correlation_id": "%REQ(X-CORRELATION-ID)%",
        "traceparent": "%REQ(TRACEPARENT)%",
    });
    let fields = match line {
        serde_json::Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    let format = core::SubstitutionFormatString {
        omit_empty_values: true,
        format: Some(core::substitution_format_string::Format::JsonFormat(pack::object(fields))),
        ..Default::default()
    };
    let stdout = stdout::StdoutAccessLog {
        access_log_format: Some(stdout::stdout_access_log::AccessLogFormat::LogFormat(format)),
    };
    log::AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        filter: Some(worth_logging(config)),
        config_type: Some(log::access_log::ConfigType::TypedConfig(pack::any(&stdout))),
    }
}

fn worth_logging(config: &GatewayConfig) -> log::AccessLogFilter {
    use log::access_log_filter::FilterSpecifier;
    let at_least = |value, key: &str| log::ComparisonFilter {
        op: log::comparison_filter::Op::Ge as i32,
        value: Some(core::RuntimeUInt32 { default_value: value, runtime_key: key.to_owned() }),
    };
    let filters = [
        FilterSpecifier::StatusCodeFilter(log::StatusCodeFilter {
            comparison: Some(at_least(500, "artel.access_log.status")),
        }),
        FilterSpecifier::DurationFilter(log::DurationFilter {
            comparison: Some(at_least(config.slow_ms, "artel.access_log.slow_ms")),
        }),
        FilterSpecifier::RuntimeFilter(log::RuntimeFilter {
            runtime_key: "artel.access_log.percent".to_owned(),
            percent_sampled: Some(kind::FractionalPercent {
                numerator: u32::from(config.access_log_percent),
                denominator: kind::fractional_percent::DenominatorType::Hundred as i32,
            }),
            use_independent_randomness: true,
        }),
    ];
    log::AccessLogFilter {
        filter_specifier: Some(FilterSpecifier::OrFilter(log::OrFilter {
            filters: filters.map(|filter| log::AccessLogFilter { filter_specifier: Some(filter) }).into(),
        })),
    }
}
