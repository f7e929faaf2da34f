//! Which path goes to which service, and what holds on the way: sign-in, time, retries, size.

use std::collections::HashMap;

use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3 as buffer;
use envoy_types::pb::envoy::extensions::filters::http::cors::v3 as cors;
use envoy_types::pb::envoy::extensions::filters::http::ext_authz::v3 as ext_authz;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3 as jwt;
use envoy_types::pb::envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate;
use envoy_types::pb::google::protobuf::Any;

use super::pack::{self, header_if_absent, header_is, millis, number, seconds, span, truth};
use super::{clusters, compression, created, filters, head, plain, rations};
use crate::config::GatewayConfig;
use crate::entrance::Entrance;
use crate::surface::{Method, Surface};
use crate::template::{PathMatch, Template};
use crate::{authz, limiter, request};

/// The one route table.
pub const NAME: &str = "edge";

/// By how much Envoy's patience ends before the service's, so that it is Envoy who says so, always in the same words.
const MARGIN_MS: u64 = 100;

/// The route table. What is not in it does not exist: INTERNAL methods have no route.
pub fn build(surface: &Surface, config: &GatewayConfig) -> route::RouteConfiguration {
    let mut routes = vec![plain::preflight()];
    routes.extend(surface.methods.iter().map(|method| grpc(method, config)));
    routes.extend(plain::reflection(config));
    routes.extend(rest(surface, config));
    routes.push(plain::webhooks(config));
    routes.extend(plain::board(config));
    routes.extend(plain::reference(config));
    routes.push(plain::nothing());
    let host = route::VirtualHost {
        name: NAME.to_owned(),
        domains: vec!["*".to_owned()],
        routes,
        typed_per_filter_config: [(filters::CORS.to_owned(), pack::any(&cors_policy(config)))].into(),
        include_request_attempt_count: true,
        ..Default::default()
    };
    route::RouteConfiguration { name: NAME.to_owned(), virtual_hosts: vec![host], ..Default::default() }
}

/// A method as gRPC and gRPC-Web call it.
fn grpc(method: &Method, config: &GatewayConfig) -> route::Route {
    let matched = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Path(method.path.clone())),
        headers: vec![header_is(":method", pack::exactly("POST"))],
        ..Default::default()
    };
    let settings = filter_settings(method, config);
    route::Route {
        name: method.full_name.clone(),
        // Of REST's alone.
        response_headers_to_remove: method.created.then(|| created::STATUS.to_owned()).into_iter().collect(),
        ..call(method, matched, settings, true, config)
    }
}

/// All REST paths, fixed ones first; behind each the answer for the HTTP methods that it does not take.
fn rest(surface: &Surface, config: &GatewayConfig) -> Vec<route::Route> {
    let mut bindings: Vec<_> = surface
        .methods
        .iter()
        .flat_map(|method| {
            method.bindings.iter().enumerate().map(move |(index, binding)| (method, index, binding))
        })
        .collect();
    bindings.sort_by(|(_, _, a), (_, _, b)| a.template.rank().cmp(&b.template.rank()));
    let mut routes = Vec::new();
    // Paths that differ only in the names of their variables are one path.
    for group in bindings.chunk_by(|(_, _, a), (_, _, b)| a.template == b.template) {
        for (method, index, binding) in group {
            let mut matched = path(&binding.template);
            matched.headers = vec![header_is(":method", pack::exactly(&binding.verb))];
            let name = format!("{}#{index}", method.full_name);
            let subject = request::subject(&method.full_name, *index);
            let route = |matched| {
                let mut settings = filter_settings(method, config);
                settings.extend(method.created.then(created::on));
                route::Route { name: name.clone(), ..call(method, matched, settings, false, config) }
            };
            let checked = |matched| read_first(route(matched), subject.clone(), method, config);
            if binding.verb == "GET" && !method.streaming {
                let headers = vec![header_is(":method", pack::exactly("HEAD"))];
                let mut head = checked(route::RouteMatch { headers, ..matched.clone() });
                head.typed_per_filter_config.extend([head::on()]);
                routes.push(head);
            }
            if method.streaming {
                routes.push(route(matched));
            } else if binding.body.is_empty() {
                // Without a body there may still be a query to read. Without that either only the limits are asked.
                let mut asking = matched.clone();
                asking.headers.push(header_is(":path", pack::containing("?")));
                routes.extend([checked(asking), route(matched)]);
            } else {
                routes.push(checked(matched));
            }
        }
        let Some((_, _, first)) = group.first() else { continue };
        let mut verbs: Vec<_> = group.iter().map(|(_, _, binding)| binding.verb.as_str()).collect();
        if group.iter().any(|(method, _, binding)| binding.verb == "GET" && !method.streaming) {
            verbs.push("HEAD");
        }
        routes.push(plain::not_allowed(&first.template, &verbs.join(", ")));
    }
    routes
}

pub fn path(template: &Template) -> route::RouteMatch {
    let specifier = match template.path_match() {
        PathMatch::Exact(path) => route::route_match::PathSpecifier::Path(path),
        PathMatch::Regex(regex) => route::route_match::PathSpecifier::SafeRegex(pack::regex(&regex)),
    };
    route::RouteMatch { path_specifier: Some(specifier), ..Default::default() }
}

/// A route to a method.
fn call(
    method: &Method,
    matched: route::RouteMatch,
    settings: HashMap<String, Any>,
    grpc: bool,
    config: &GatewayConfig,
) -> route::Route {
    let mut action = if method.streaming {
        streaming(clusters::streams_of(&method.host), Some(retries(method, config)), config)
    } else {
        let timeout = span(config.timeout());
        route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(method.host.clone())),
            timeout,
            // A caller's grpc-timeout counts as far as it is the shorter one. With it, Envoy forgets the timeout above
            // for callers that have none, so it stands here again.
            max_stream_duration: Some(route::route_action::MaxStreamDuration {
                max_stream_duration: timeout,
                grpc_timeout_header_max: timeout,
                grpc_timeout_header_offset: millis(MARGIN_MS),
            }),
            retry_policy: Some(retries(method, config)),
            ..Default::default()
        }
    };
    action.rate_limits = rations::of(&method.full_name, grpc, config);
    // A REST call has no deadline of its own; with this the services behind it know when nobody waits any more.
    let deadline = (!method.streaming)
        .then(|| header_if_absent("grpc-timeout", format!("{}m", config.timeout_ms + MARGIN_MS)));
    route::Route {
        r#match: Some(matched),
        action: Some(route::route::Action::Route(action)),
        typed_per_filter_config: settings,
        request_headers_to_add: deadline.into_iter().collect(),
        // At the entrance a token is not looked at, here or behind: it may be what is to be replaced.
        request_headers_to_remove: Entrance::of(&method.full_name)
            .map(|_| "authorization".to_owned())
            .into_iter()
            .collect(),
        ..Default::default()
    }
}

/// As long as it takes, but not silent for long.
pub fn streaming(
    cluster: String,
    retries: Option<route::RetryPolicy>,
    config: &GatewayConfig,
) -> route::RouteAction {
    route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster)),
        timeout: seconds(0),
        idle_timeout: span(config.idle_timeout()),
        retry_policy: retries,
        ..Default::default()
    }
}

/// What never reached an application may be tried again elsewhere, whatever it was; what did, only where a second time
/// changes nothing.
fn retries(method: &Method, config: &GatewayConfig) -> route::RetryPolicy {
    let mut on = vec!["connect-failure", "refused-stream", "reset-before-request"];
    if method.idempotent && !method.streaming {
        on.extend(["reset", "unavailable"]);
    }
    route::RetryPolicy {
        retry_on: on.join(","),
        num_retries: number(config.max_retries),
        retry_host_predicate: vec![route::retry_policy::RetryHostPredicate {
            name: "envoy.retry_host_predicates.previous_hosts".to_owned(),
            config_type: Some(route::retry_policy::retry_host_predicate::ConfigType::TypedConfig(pack::any(
                &PreviousHostsPredicate {},
            ))),
        }],
        // Of two instances the dead one is the less busy, so it is picked again and again.
        host_selection_retry_max_attempts: 30,
        retry_back_off: Some(route::retry_policy::RetryBackOff {
            base_interval: millis(25),
            max_interval: millis(250),
        }),
        ..Default::default()
    }
}

/// What the filters are told about a method.
fn filter_settings(method: &Method, config: &GatewayConfig) -> HashMap<String, Any> {
    let mut settings = HashMap::new();
    if Entrance::of(&method.full_name).is_some() {
        settings.insert(filters::JWT.to_owned(), pack::any(&plain::no_token()));
        settings.extend(compression::off(config));
    } else if !method.open {
        let required = jwt::PerRouteConfig {
            requirement_specifier: Some(jwt::per_route_config::RequirementSpecifier::RequirementName(
                filters::SIGNED_IN.to_owned(),
            )),
        };
        settings.insert(filters::JWT.to_owned(), pack::any(&required));
    }
    if method.streaming {
        settings.insert(filters::BUFFER.to_owned(), pack::any(&unbuffered()));
    }
    settings
}

pub fn unbuffered() -> buffer::BufferPerRoute {
    buffer::BufferPerRoute { r#override: Some(buffer::buffer_per_route::Override::Disabled(true)) }
}

/// Has the gateway read query and JSON body before they are transcoded: the transcoder drops unknown fields of a body
/// without a word, and calls those of a query by other names than their caller. The limits are asked in the same call.
fn read_first(
    mut route: route::Route,
    subject: String,
    method: &Method,
    config: &GatewayConfig,
) -> route::Route {
    let mut extensions = HashMap::from([(request::SUBJECT.to_owned(), subject)]);
    if let Some(route::route::Action::Route(action)) = &mut route.action
        && config.limits.on
    {
        action.rate_limits.clear();
        extensions.insert(authz::LIMITED.to_owned(), method.full_name.clone());
    }
    let settings = ext_authz::CheckSettings { context_extensions: extensions, ..Default::default() };
    let settings = ext_authz::ExtAuthzPerRoute {
        r#override: Some(ext_authz::ext_authz_per_route::Override::CheckSettings(settings)),
    };
    route.typed_per_filter_config.insert(filters::EXT_AUTHZ.to_owned(), pack::any(&settings));
    route
}

fn cors_policy(config: &GatewayConfig) -> cors::CorsPolicy {
    let origin = |origin: &String| if origin == "*" { pack::anything() } else { pack::exactly(origin) };
    cors::CorsPolicy {
        allow_origin_string_match: config.cors_origins.iter().map(origin).collect(),
        allow_methods: "GET, POST, PUT, PATCH, DELETE".to_owned(),
        allow_headers:
            "authorization, content-type, accept-language, traceparent, grpc-timeout, x-grpc-web, \
                        x-user-agent, x-request-id, x-correlation-id"
                .to_owned(),
        expose_headers: format!(
            "grpc-status, grpc-message, grpc-status-details-bin, www-authenticate, x-request-id, \
             x-correlation-id, retry-after, {}",
            limiter::HEADERS.join(", ")
        ),
        max_age: "600".to_owned(),
        forward_not_matching_preflights: truth(false),
        ..Default::default()
    }
}
