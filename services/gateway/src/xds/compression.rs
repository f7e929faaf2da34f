//! Answers made smaller for who can read them so: JSON and pages. gRPC has its own way, and streams are not held up.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::compression::brotli::compressor::v3::Brotli;
use envoy_types::pb::envoy::extensions::compression::gzip::compressor::v3::Gzip;
use envoy_types::pb::envoy::extensions::filters::http::compressor::v3 as filter;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf::Any;

use super::{filters, pack};
use crate::config::GatewayConfig;

const BROTLI: &str = "artel.brotli";
const GZIP: &str = "artel.gzip";

/// The filters; none where nothing is to be compressed. The first is what a client gets that takes both alike.
pub fn filters(config: &GatewayConfig) -> Vec<hcm::HttpFilter> {
    if config.compress_from_bytes == 0 {
        return Vec::new();
    }
    let brotli = Brotli { quality: pack::number(4), ..Default::default() };
    vec![
        filters::filter(BROTLI, &compressor("br", pack::any(&brotli), config)),
        filters::filter(GZIP, &compressor("gzip", pack::any(&Gzip::default()), config)),
    ]
}

/// Switches it off for a route. An answer that holds a secret must not tell by its length what else is in it.
pub fn off(config: &GatewayConfig) -> impl Iterator<Item = (String, Any)> {
    let names = (config.compress_from_bytes > 0).then_some([BROTLI, GZIP]);
    let off = filter::CompressorPerRoute {
        r#override: Some(filter::compressor_per_route::Override::Disabled(true)),
    };
    names.into_iter().flatten().map(move |name| (name.to_owned(), pack::any(&off)))
}

fn compressor(name: &str, library: Any, config: &GatewayConfig) -> filter::Compressor {
    let types = ["application/json", "text/html", "text/css", "text/javascript", "application/yaml"];
    let common = filter::compressor::CommonDirectionConfig {
        min_content_length: pack::number(config.compress_from_bytes),
        content_type_matcher: types.map(pack::starting_with).into(),
        ..Default::default()
    };
    filter::Compressor {
        compressor_library: Some(core::TypedExtensionConfig {
            name: name.to_owned(),
            typed_config: Some(library),
        }),
        response_direction_config: Some(filter::compressor::ResponseDirectionConfig {
            common_config: Some(common),
            weaken_etag_on_compress: true,
            ..Default::default()
        }),
        choose_first: true,
        ..Default::default()
    }
}
