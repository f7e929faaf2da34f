//! Small words for Envoy's long ones.

use std::net::SocketAddr;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use envoy_types::pb::envoy::r#type::v3 as kind;
use envoy_types::pb::google::protobuf;
use prost::{Message, Name};

/// Any message with its type beside it.
pub fn any<M: Message + Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// A span of time.
pub fn span(duration: Duration) -> Option<protobuf::Duration> {
    let nanos = i32::try_from(duration.subsec_nanos()).unwrap_or_default();
    Some(protobuf::Duration { seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), nanos })
}

/// Milliseconds.
pub fn millis(count: u64) -> Option<protobuf::Duration> {
    span(Duration::from_millis(count))
}

/// Seconds.
pub fn seconds(count: u32) -> Option<protobuf::Duration> {
    span(Duration::from_secs(u64::from(count)))
}

/// A number that may be absent.
pub fn number(value: u32) -> Option<protobuf::UInt32Value> {
    Some(protobuf::UInt32Value { value })
}

/// A truth that may be absent.
pub fn truth(value: bool) -> Option<protobuf::BoolValue> {
    Some(protobuf::BoolValue { value })
}

/// A part of a whole, in percent.
pub fn percent(value: f64) -> Option<kind::Percent> {
    Some(kind::Percent { value })
}

/// Where to listen or connect.
pub fn address(address: SocketAddr) -> Option<core::Address> {
    let socket = core::SocketAddress {
        address: address.ip().to_string(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(u32::from(address.port()))),
        ..Default::default()
    };
    Some(core::Address { address: Some(core::address::Address::SocketAddress(socket)) })
}

/// "Ask the stream that told you this."
pub fn from_ads() -> Option<core::ConfigSource> {
    Some(core::ConfigSource {
        resource_api_version: core::ApiVersion::V3 as i32,
        initial_fetch_timeout: seconds(5),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    })
}

/// A text written here.
pub fn inline(text: impl Into<String>) -> Option<core::DataSource> {
    Some(core::DataSource {
        specifier: Some(core::data_source::Specifier::InlineString(text.into())),
        ..Default::default()
    })
}

/// A header that replaces what is there.
pub fn header(key: &str, value: impl Into<String>) -> core::HeaderValueOption {
    header_as(core::header_value_option::HeaderAppendAction::OverwriteIfExistsOrAdd, key, value)
}

/// A header for where there is none.
pub fn header_if_absent(key: &str, value: impl Into<String>) -> core::HeaderValueOption {
    header_as(core::header_value_option::HeaderAppendAction::AddIfAbsent, key, value)
}

fn header_as(
    action: core::header_value_option::HeaderAppendAction,
    key: &str,
    value: impl Into<String>,
) -> core::HeaderValueOption {
    core::HeaderValueOption {
        header: Some(core::HeaderValue { key: key.to_owned(), value: value.into(), ..Default::default() }),
        append_action: action as i32,
        ..Default::default()
    }
}

/// A string that must be exactly this.
pub fn exactly(text: &str) -> matcher::StringMatcher {
    string(matcher::string_matcher::MatchPattern::Exact(text.to_owned()))
}

/// A string that must start with this.
pub fn starting_with(text: &str) -> matcher::StringMatcher {
    string(matcher::string_matcher::MatchPattern::Prefix(text.to_owned()))
}

/// A string that holds this.
pub fn containing(text: &str) -> matcher::StringMatcher {
    string(matcher::string_matcher::MatchPattern::Contains(text.to_owned()))
}

/// A string that the expression matches as a whole.
pub fn regex_of(expression: &str) -> matcher::StringMatcher {
    string(matcher::string_matcher::MatchPattern::SafeRegex(regex(expression)))
}

/// Any string.
pub fn anything() -> matcher::StringMatcher {
    regex_of(".*")
}

fn string(pattern: matcher::string_matcher::MatchPattern) -> matcher::StringMatcher {
    matcher::StringMatcher { match_pattern: Some(pattern), ..Default::default() }
}

/// An RE2 expression.
pub fn regex(expression: &str) -> matcher::RegexMatcher {
    matcher::RegexMatcher { regex: expression.to_owned(), ..Default::default() }
}

/// A header whose value matches.
pub fn header_is(name: &str, value: matcher::StringMatcher) -> route::HeaderMatcher {
    header_matcher(name, route::header_matcher::HeaderMatchSpecifier::StringMatch(value))
}

/// A header that is there, or is not.
pub fn header_present(name: &str, present: bool) -> route::HeaderMatcher {
    header_matcher(name, route::header_matcher::HeaderMatchSpecifier::PresentMatch(present))
}

fn header_matcher(name: &str, what: route::header_matcher::HeaderMatchSpecifier) -> route::HeaderMatcher {
    route::HeaderMatcher { name: name.to_owned(), header_match_specifier: Some(what), ..Default::default() }
}

/// JSON as Envoy takes it.
pub fn json(value: serde_json::Value) -> protobuf::Value {
    use protobuf::value::Kind;
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or_default()),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => {
            Kind::ListValue(protobuf::ListValue { values: values.into_iter().map(json).collect() })
        }
        serde_json::Value::Object(fields) => Kind::StructValue(object(fields)),
    };
    protobuf::Value { kind: Some(kind) }
}

/// A JSON object as Envoy takes it.
pub fn object(fields: serde_json::Map<String, serde_json::Value>) -> protobuf::Struct {
    protobuf::Struct { fields: fields.into_iter().map(|(name, value)| (name, json(value))).collect() }
}
