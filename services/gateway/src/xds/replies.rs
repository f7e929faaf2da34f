//! Envoy's own refusals, in the words of the mesh: `google.rpc.Status` as JSON for REST, status and details for gRPC
//! and gRPC-Web.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use envoy_types::pb::envoy::config::accesslog::v3 as log;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
use log::access_log_filter::FilterSpecifier;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::pack::{self, header, header_is, header_present, number};
use crate::config::GatewayConfig;
use crate::limiter;

/// What Envoy itself says, where it has something to say.
const BODY: &str = "%LOCAL_REPLY_BODY%";
/// The same in a header, where the body cannot be had.
const DETAILS: &str = "%RESPONSE_CODE_DETAILS%";

/// Under this name the token filter notes why it refused.
pub(super) const FAILURE: &str = "failure";
/// The number it gives to a token that was good once.
const EXPIRED: f64 = 3.0;

/// A refusal of Envoy's own.
struct Reply {
    /// The HTTP status that Envoy chose.
    found: u32,
    /// Only where the token was good once.
    expired: bool,
    /// The HTTP status that the caller gets.
    given: u32,
    code: Code,
    reason: &'static str,
    /// What is said; may hold [`BODY`].
    message: String,
    /// After which time trying again helps, if it does: `1s`.
    retry: Option<&'static str>,
    /// What is beside the reason: a name, and what stands for it.
    metadata: Option<(&'static str, &'static str)>,
    /// For gRPC the gateway has said it all, status and details.
    complete: bool,
}

/// How each refusal is answered.
pub fn build(config: &GatewayConfig) -> hcm::LocalReplyConfig {
    let mut mappers = vec![our_own(), redirect()];
    for reply in replies(config) {
        mappers.push(reply.for_grpc_web());
        mappers.push(reply.for_grpc());
        mappers.push(reply.for_rest());
    }
    let unknown = body(Code::Unknown, "UNKNOWN", BODY, None, None);
    hcm::LocalReplyConfig { mappers, body_format: Some(unknown) }
}

fn replies(config: &GatewayConfig) -> Vec<Reply> {
    let reply = |found, code, reason, message: &str| Reply {
        found,
        expired: false,
        given: found,
        code,
        reason,
        message: message.to_owned(),
        retry: None,
        metadata: None,
        complete: false,
    };
    let retry = Some("1s");
    let token = format!("Sign in, or refresh the access token: {BODY}");
    let size = format!("The request is larger than {} bytes.", config.max_body_bytes);
    let expired = "The access token is expired. Refresh it or sign in again.";
    let late = "The answer did not come in time. Try again.";
    let away = "The service is away at the moment. Try again in a second.";
    vec![
        reply(400, Code::InvalidArgument, "INVALID_REQUEST", BODY),
        Reply { expired: true, ..reply(401, Code::Unauthenticated, "TOKEN_EXPIRED", expired) },
        reply(401, Code::Unauthenticated, "UNAUTHENTICATED", &token),
        // The one 403 that Envoy gives by itself: a token meant for somebody else, which is no token here.
        Reply { given: 401, ..reply(403, Code::Unauthenticated, "UNAUTHENTICATED", &token) },
        reply(404, Code::NotFound, "PATH_NOT_FOUND", BODY),
        reply(405, Code::Unimplemented, "METHOD_NOT_ALLOWED", BODY),
        reply(408, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", late),
        reply(413, Code::ResourceExhausted, "REQUEST_TOO_LARGE", &size),
        reply(415, Code::InvalidArgument, "UNSUPPORTED_MEDIA_TYPE", BODY),
        reply(426, Code::InvalidArgument, "UPGRADE_REQUIRED", BODY),
        Reply {
            retry: Some("%RESP(RETRY-AFTER)%s"),
            metadata: Some(("policy", "%RESP(RATELIMIT-POLICY)%")),
            complete: true,
            ..reply(429, Code::ResourceExhausted, limiter::REASON, BODY)
        },
        reply(431, Code::InvalidArgument, "HEADERS_TOO_LARGE", "The headers are too many or too large."),
        reply(500, Code::Internal, "INTERNAL", "Something went wrong on our side."),
        Reply { retry, ..reply(502, Code::Unavailable, "SERVICE_UNAVAILABLE", away) },
        Reply { retry, ..reply(503, Code::Unavailable, "SERVICE_UNAVAILABLE", away) },
        reply(504, Code::DeadlineExceeded, "DEADLINE_EXCEEDED", late),
    ]
}

impl Reply {
    /// For gRPC, the status in place of the one that Envoy would derive from the HTTP status.
    fn for_grpc(&self) -> hcm::ResponseMapper {
        hcm::ResponseMapper {
            filter: Some(all(vec![self.is_found(), is_grpc()])),
            body_format_override: Some(text(&self.message)),
            headers_to_add: self.grpc_headers(),
            ..Default::default()
        }
    }

    /// For gRPC-Web, to which Envoy would answer as if it were a web page. Clients give themselves away by a header,
    /// because by now the content type says gRPC.
    fn for_grpc_web(&self) -> hcm::ResponseMapper {
        let marks = ["x-grpc-web", "x-user-agent"].map(|name| has_header(header_present(name, true)));
        let is_web = specify(FilterSpecifier::OrFilter(log::OrFilter { filters: marks.into() }));
        let mut headers = self.grpc_headers();
        if !self.complete {
            headers.push(header("grpc-message", self.message.replace(BODY, DETAILS)));
        }
        hcm::ResponseMapper {
            filter: Some(all(vec![self.is_found(), is_grpc(), is_web])),
            status_code: number(200),
            body_format_override: Some(core::SubstitutionFormatString {
                content_type: "application/grpc-web+proto".to_owned(),
                ..text("")
            }),
            headers_to_add: headers,
            ..Default::default()
        }
    }

    fn for_rest(&self) -> hcm::ResponseMapper {
        hcm::ResponseMapper {
            filter: Some(self.is_found()),
            status_code: number(self.given),
            body_format_override: Some(body(
                self.code,
                self.reason,
                &self.message,
                self.metadata,
                self.retry,
            )),
            ..Default::default()
        }
    }

    fn is_found(&self) -> log::AccessLogFilter {
        if self.expired {
            all(vec![status_is(self.found), token_is_expired()])
        } else {
            status_is(self.found)
        }
    }

    /// gRPC calls a method that is not there unimplemented; not found is what a method says of a thing.
    fn grpc_code(&self) -> Code {
        if self.found == 404 { Code::Unimplemented } else { self.code }
    }

    /// Details stand beside the status only where the text is known now: they hold it a second time.
    fn grpc_headers(&self) -> Vec<core::HeaderValueOption> {
        let code = self.grpc_code();
        let mut headers = vec![header("grpc-status", (code as i32).to_string())];
        if !self.message.contains(BODY) {
            let mut details = ErrorDetails::new();
            details.set_error_info(self.reason, "artel", HashMap::new());
            if self.retry.is_some() {
                details.set_retry_info(Some(Duration::from_secs(1)));
            }
            let status = Status::with_error_details(code, self.message.clone(), details);
            headers.push(header("grpc-status-details-bin", STANDARD_NO_PAD.encode(status.details())));
        }
        headers
    }
}

/// What the gateway's own check of bodies and queries answers is ready as it is. Envoy marks it with the flag UAEX.
fn our_own() -> hcm::ResponseMapper {
    let flag =
        FilterSpecifier::ResponseFlagFilter(log::ResponseFlagFilter { flags: vec!["UAEX".to_owned()] });
    hcm::ResponseMapper {
        filter: Some(specify(flag)),
        body_format_override: Some(core::SubstitutionFormatString {
            content_type: "application/json".to_owned(),
            ..text(BODY)
        }),
        ..Default::default()
    }
}

/// A redirect needs no words.
fn redirect() -> hcm::ResponseMapper {
    hcm::ResponseMapper {
        filter: Some(status_is(302)),
        body_format_override: Some(core::SubstitutionFormatString {
            content_type: "text/plain".to_owned(),
            ..text("")
        }),
        ..Default::default()
    }
}

/// A request is gRPC if it came as that; the transcoder leaves a mark on those that it made so.
fn is_grpc() -> log::AccessLogFilter {
    all(vec![
        has_header(header_is("content-type", pack::starting_with("application/grpc"))),
        has_header(header_present("x-envoy-original-path", false)),
    ])
}

fn status_is(status: u32) -> log::AccessLogFilter {
    specify(FilterSpecifier::StatusCodeFilter(log::StatusCodeFilter {
        comparison: Some(log::ComparisonFilter {
            op: log::comparison_filter::Op::Eq as i32,
            value: Some(core::RuntimeUInt32 {
                default_value: status,
                runtime_key: "artel.local_reply.status".to_owned(),
            }),
        }),
    }))
}

fn token_is_expired() -> log::AccessLogFilter {
    let segment = |key: &str| matcher::metadata_matcher::PathSegment {
        segment: Some(matcher::metadata_matcher::path_segment::Segment::Key(key.to_owned())),
    };
    let number =
        matcher::DoubleMatcher { match_pattern: Some(matcher::double_matcher::MatchPattern::Exact(EXPIRED)) };
    let noted = matcher::MetadataMatcher {
        filter: "envoy.filters.http.jwt_authn".to_owned(),
        path: vec![segment(FAILURE), segment("code")],
        value: Some(matcher::ValueMatcher {
            match_pattern: Some(matcher::value_matcher::MatchPattern::DoubleMatch(number)),
        }),
        ..Default::default()
    };
    specify(FilterSpecifier::MetadataFilter(log::MetadataFilter {
        matcher: Some(noted),
        match_if_key_not_found: pack::truth(false),
    }))
}

fn has_header(header: route::HeaderMatcher) -> log::AccessLogFilter {
    specify(FilterSpecifier::HeaderFilter(log::HeaderFilter { header: Some(header) }))
}

fn all(filters: Vec<log::AccessLogFilter>) -> log::AccessLogFilter {
    specify(FilterSpecifier::AndFilter(log::AndFilter { filters }))
}

fn specify(filter: FilterSpecifier) -> log::AccessLogFilter {
    log::AccessLogFilter { filter_specifier: Some(filter) }
}

fn text(text: &str) -> core::SubstitutionFormatString {
    core::SubstitutionFormatString {
        format: Some(core::substitution_format_string::Format::TextFormatSource(core::DataSource {
            specifier: Some(core::data_source::Specifier::InlineString(text.to_owned())),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// A `google.rpc.Status` in JSON, with the name of the request, so that a person can quote it.
fn body(
    code: Code,
    reason: &str,
    message: &str,
    metadata: Option<(&str, &str)>,
    retry: Option<&str>,
) -> core::SubstitutionFormatString {
    let metadata: serde_json::Map<_, _> =
        metadata.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let mut details = vec![json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "artel",
        "metadata": metadata,
    })];
    if let Some(delay) = retry {
        details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
    }
    details.push(json!({
        "@type": "type.googleapis.com/google.rpc.RequestInfo",
        "requestId": "%REQ(X-REQUEST-ID)%",
        "servingData": "",
    }));
    let status = [
        ("code".to_owned(), json!(code as i32)),
        ("message".to_owned(), json!(message)),
        ("details".to_owned(), json!(details)),
    ];
    core::SubstitutionFormatString {
        content_type: "application/json".to_owned(),
        format: Some(core::substitution_format_string::Format::JsonFormat(pack::object(
            status.into_iter().collect(),
        ))),
        ..Default::default()
    }
}

#[test]
fn the_reference_says_what_to_do_about_each() {
    let config: GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
    for reply in replies(&config) {
        let known = artel_reference::COMMON.iter().any(|common| common.reason == reply.reason);
        assert!(known, "packages/reference/src/errors.rs does not know {}", reply.reason);
    }
}
