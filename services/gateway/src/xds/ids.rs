//! The names that a request goes by: its own, and that of what it is part of. A caller may choose both; what is too long
//! or could harm a log is replaced.

use envoy_types::pb::envoy::config::common::mutation_rules::v3 as mutation;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::extensions::common::matching::v3::ExtensionWithMatcher;
use envoy_types::pb::envoy::extensions::filters::common::matcher::action::v3::SkipFilter;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3 as headers;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::envoy::r#type::matcher::v3::HttpRequestHeaderMatchInput;
use envoy_types::pb::xds::core::v3::TypedExtensionConfig;
use envoy_types::pb::xds::r#type::matcher::v3 as matcher;
use matcher::matcher::matcher_list::predicate::{MatchType, SinglePredicate, single_predicate};
use matcher::matcher::matcher_list::{FieldMatcher, Predicate};
use matcher::matcher::{MatcherList, MatcherType, OnMatch, on_match};

use super::filters::filter;
use super::pack;
use crate::config::GatewayConfig;

const REQUEST_ID: &str = "x-request-id";
const CORRELATION_ID: &str = "x-correlation-id";
/// Envoy names every request itself. What the caller asked for waits here until it is looked at.
const ASKED_ID: &str = "x-artel-asked-id";

/// Ids as people make them: UUIDs, ULIDs, trace ids, `order-17/retry:2`.
const SANE: &str = "[A-Za-z0-9][A-Za-z0-9._~:/+=-]{0,127}";

/// Before Envoy looks at the request.
pub fn set_aside() -> [mutation::HeaderMutation; 2] {
    [put(ASKED_ID, "%REQ(X-REQUEST-ID)%"), remove(REQUEST_ID)]
}

/// The filters: the ids of the request, then those of its answer, whoever gives it.
pub fn filters(config: &GatewayConfig, tls: bool) -> Vec<hcm::HttpFilter> {
    let mut answer = vec![put(CORRELATION_ID, "%REQ(X-CORRELATION-ID)%")];
    if tls && config.tls.hsts_seconds > 0 {
        let policy = format!("max-age={}; includeSubDomains", config.tls.hsts_seconds);
        answer.push(put("strict-transport-security", &policy));
    }
    let rest = headers::Mutations {
        request_mutations: vec![remove(ASKED_ID)],
        response_mutations: answer,
        ..Default::default()
    };
    vec![
        mutate_unless(
            "artel.request_id",
            is_sane(ASKED_ID, false),
            put(REQUEST_ID, "%REQ(X-ARTEL-ASKED-ID)%"),
        ),
        // Where a caller says nothing, a request is part of itself.
        mutate_unless(
            "artel.correlation_id",
            is_sane(CORRELATION_ID, true),
            put(CORRELATION_ID, "%REQ(X-REQUEST-ID)%"),
        ),
        filter("artel.headers", &headers::HeaderMutation { mutations: Some(rest), ..Default::default() }),
    ]
}

pub fn put(key: &str, value: &str) -> mutation::HeaderMutation {
    act(mutation::header_mutation::Action::Append(pack::header(key, value)))
}

fn remove(key: &str) -> mutation::HeaderMutation {
    act(mutation::header_mutation::Action::Remove(key.to_owned()))
}

fn act(action: mutation::header_mutation::Action) -> mutation::HeaderMutation {
    mutation::HeaderMutation { action: Some(action) }
}

/// A filter that changes the request unless the predicate holds.
fn mutate_unless(name: &str, skipped: Predicate, change: mutation::HeaderMutation) -> hcm::HttpFilter {
    let change = headers::Mutations { request_mutations: vec![change], ..Default::default() };
    let change = headers::HeaderMutation { mutations: Some(change), ..Default::default() };
    let skip = OnMatch {
        on_match: Some(on_match::OnMatch::Action(TypedExtensionConfig {
            name: "skip".to_owned(),
            typed_config: Some(pack::any(&SkipFilter {})),
        })),
        ..Default::default()
    };
    let list =
        MatcherList { matchers: vec![FieldMatcher { predicate: Some(skipped), on_match: Some(skip) }] };
    let delegate = ExtensionWithMatcher {
        xds_matcher: Some(matcher::Matcher {
            matcher_type: Some(MatcherType::MatcherList(list)),
            ..Default::default()
        }),
        extension_config: Some(core::TypedExtensionConfig {
            name: "envoy.filters.http.header_mutation".to_owned(),
            typed_config: Some(pack::any(&change)),
        }),
        ..Default::default()
    };
    filter(name, &delegate)
}

/// Whether a header holds a sane id (`wanted`), or holds none.
fn is_sane(header: &str, wanted: bool) -> Predicate {
    let input = HttpRequestHeaderMatchInput { header_name: header.to_owned() };
    let regex = matcher::RegexMatcher {
        regex: SANE.to_owned(),
        engine_type: Some(matcher::regex_matcher::EngineType::GoogleRe2(
            matcher::regex_matcher::GoogleRe2 {},
        )),
    };
    let value = matcher::StringMatcher {
        match_pattern: Some(matcher::string_matcher::MatchPattern::SafeRegex(regex)),
        ..Default::default()
    };
    let sane = Predicate {
        match_type: Some(MatchType::SinglePredicate(SinglePredicate {
            input: Some(TypedExtensionConfig {
                name: "header".to_owned(),
                typed_config: Some(pack::any(&input)),
            }),
            matcher: Some(single_predicate::Matcher::ValueMatch(value)),
        })),
    };
    if wanted { sane } else { Predicate { match_type: Some(MatchType::NotMatcher(Box::new(sane))) } }
}
