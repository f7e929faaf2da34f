//! HTTPS: how Envoy proves who it is. The private key never comes from here; Envoy reads it where it runs.

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;

use super::pack;
use crate::config::GatewayConfig;

/// The one certificate.
pub const NAME: &str = "edge";

/// Certificates and key are in one file, so that a new pair takes the place of the old in one step. Envoy follows it.
pub fn secret(config: &GatewayConfig) -> tls::Secret {
    let file = || {
        Some(core::DataSource {
            specifier: Some(core::data_source::Specifier::Filename(config.tls.pem.clone())),
            ..Default::default()
        })
    };
    let certificate =
        tls::TlsCertificate { certificate_chain: file(), private_key: file(), ..Default::default() };
    tls::Secret { name: NAME.to_owned(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) }
}

/// TLS 1.2 or 1.3, and HTTP/2 before HTTP/1.1.
pub fn socket() -> core::TransportSocket {
    let parameters = tls::TlsParameters {
        tls_minimum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv12 as i32,
        tls_maximum_protocol_version: tls::tls_parameters::TlsProtocol::TlSv13 as i32,
        ..Default::default()
    };
    let common = tls::CommonTlsContext {
        tls_params: Some(parameters),
        alpn_protocols: vec!["h2".to_owned(), "http/1.1".to_owned()],
        tls_certificate_sds_secret_configs: vec![tls::SdsSecretConfig {
            name: NAME.to_owned(),
            sds_config: pack::from_ads(),
        }],
        ..Default::default()
    };
    let context = tls::DownstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    core::TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(core::transport_socket::ConfigType::TypedConfig(pack::any(&context))),
    }
}
