//! What is no method: questions of browsers, reflection, webhooks, the board's events, the reference, and what there is
//! not.

use envoy_types::pb::envoy::config::route::v3 as route;
use envoy_types::pb::envoy::extensions::filters::http::buffer::v3 as buffer;
use envoy_types::pb::envoy::extensions::filters::http::jwt_authn::v3 as jwt;

use super::pack::{self, header, header_is, header_present, number, span};
use super::routes::{path, streaming, unbuffered};
use super::{clusters, compression, filters, rations};
use crate::config::GatewayConfig;
use crate::pages;
use crate::surface::{BOARD, GATEWAY, WEBHOOK};
use crate::template::Template;

/// Where the board's events are; `order` knows the first of these paths.
const BOARD_EVENTS: [&str; 2] = ["/api/display/events", "/api/v1/display/events"];

const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A browser's question whether it may ask. The CORS filter answers it, but only where there is a route to a cluster.
pub fn preflight() -> route::Route {
    let matched = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
        headers: vec![
            header_is(":method", pack::exactly("OPTIONS")),
            header_present("access-control-request-method", true),
            header_present("origin", true),
        ],
        ..Default::default()
    };
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(clusters::XDS.to_owned())),
        ..Default::default()
    };
    plain("preflight", matched, route::route::Action::Route(action))
}

/// The gateway answers beside its control plane: there it shows only what is public.
pub fn reflection(config: &GatewayConfig) -> impl Iterator<Item = route::Route> {
    REFLECTION.iter().map(|path| {
        let matched = route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Path((*path).to_owned())),
            ..Default::default()
        };
        let mut action = streaming(clusters::XDS.to_owned(), None, config);
        action.rate_limits = rations::of("reflection", true, config);
        let mut route = plain("reflection", matched, route::route::Action::Route(action));
        route.typed_per_filter_config.insert(filters::BUFFER.to_owned(), pack::any(&unbuffered()));
        route
    })
}

/// What systems outside send, on its way to the byte: whatever it is and whatever tokens it carries, it is none of ours,
/// and nothing on the way may look into it. It may be tried again elsewhere only where it reached nobody.
pub fn webhooks(config: &GatewayConfig) -> route::Route {
    let matched = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::PathSeparatedPrefix("/webhooks".to_owned())),
        ..Default::default()
    };
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(WEBHOOK.to_owned())),
        timeout: span(config.timeout()),
        rate_limits: rations::of("webhooks", false, config),
        retry_policy: Some(route::RetryPolicy {
            retry_on: "connect-failure,refused-stream,reset-before-request".to_owned(),
            num_retries: number(config.max_retries),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut route = plain("webhook", matched, route::route::Action::Route(action));
    let size = buffer::Buffer { max_request_bytes: number(config.webhook_max_body_bytes) };
    let size = buffer::BufferPerRoute { r#override: Some(buffer::buffer_per_route::Override::Buffer(size)) };
    let off = route::FilterConfig { disabled: true, ..Default::default() };
    route.typed_per_filter_config.extend([
        (filters::JWT.to_owned(), pack::any(&no_token())),
        (filters::BUFFER.to_owned(), pack::any(&size)),
        (filters::GRPC_WEB.to_owned(), pack::any(&off)),
    ]);
    route
}

/// The board of the hall as server-sent events. They go on for days; the heartbeats of `order` keep them from falling
/// silent. Browsers' own clients of such events send no token, and none is needed.
pub fn board(config: &GatewayConfig) -> impl Iterator<Item = route::Route> {
    BOARD_EVENTS.iter().map(|path| {
        let matched = route::RouteMatch {
            path_specifier: Some(route::route_match::PathSpecifier::Path((*path).to_owned())),
            headers: vec![header_is(":method", pack::exactly("GET"))],
            ..Default::default()
        };
        let mut action = streaming(clusters::streams_of(BOARD), None, config);
        action.prefix_rewrite = BOARD_EVENTS[0].to_owned();
        action.rate_limits = rations::of("board", false, config);
        let mut route = plain("board", matched, route::route::Action::Route(action));
        route.typed_per_filter_config.extend([
            (filters::JWT.to_owned(), pack::any(&no_token())),
            (filters::BUFFER.to_owned(), pack::any(&unbuffered())),
        ]);
        route.typed_per_filter_config.extend(compression::off(config));
        route
    })
}

/// The reference, and the way to it.
pub fn reference(config: &GatewayConfig) -> Vec<route::Route> {
    let exact = |path: &str| route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Path(path.to_owned())),
        ..Default::default()
    };
    let below = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::PathSeparatedPrefix("/docs".to_owned())),
        headers: vec![header_is(":method", pack::regex_of("GET|HEAD"))],
        ..Default::default()
    };
    let redirect = route::RedirectAction {
        response_code: route::redirect_action::RedirectResponseCode::Found as i32,
        path_rewrite_specifier: Some(route::redirect_action::PathRewriteSpecifier::PathRedirect(
            "/docs".to_owned(),
        )),
        ..Default::default()
    };
    let action = route::RouteAction {
        cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(GATEWAY.to_owned())),
        timeout: span(config.timeout()),
        retry_policy: Some(route::RetryPolicy {
            retry_on: "connect-failure,refused-stream,reset".to_owned(),
            num_retries: number(config.max_retries),
            ..Default::default()
        }),
        rate_limits: rations::of("pages", false, config),
        ..Default::default()
    };
    let mut routes = vec![plain("home", exact("/"), route::route::Action::Redirect(redirect))];
    for document in pages::DOCUMENTS {
        let matched = route::RouteMatch {
            headers: vec![header_is(":method", pack::regex_of("GET|HEAD"))],
            ..exact(document)
        };
        routes.push(plain("document", matched, route::route::Action::Route(action.clone())));
    }
    routes.push(plain("reference", below, route::route::Action::Route(action)));
    routes
}

pub fn not_allowed(template: &Template, verbs: &str) -> route::Route {
    let mut route = answer(
        "not-allowed",
        path(template),
        405,
        &format!("This path does not take this method; it takes {verbs}."),
    );
    route.response_headers_to_add.push(header("allow", verbs));
    route
}

pub fn nothing() -> route::Route {
    let everything = route::RouteMatch {
        path_specifier: Some(route::route_match::PathSpecifier::Prefix("/".to_owned())),
        ..Default::default()
    };
    answer("nothing", everything, 404, "There is nothing at this path. What there is stands at /docs.")
}

/// Envoy's own answer.
fn answer(name: &str, matched: route::RouteMatch, status: u32, text: &str) -> route::Route {
    let action = route::DirectResponseAction { status, body: pack::inline(text), ..Default::default() };
    plain(name, matched, route::route::Action::DirectResponse(action))
}

/// A route that has nothing to do with any method, so the transcoder keeps its hands off.
fn plain(name: &str, matched: route::RouteMatch, action: route::route::Action) -> route::Route {
    let off = route::FilterConfig { disabled: true, ..Default::default() };
    route::Route {
        name: name.to_owned(),
        r#match: Some(matched),
        action: Some(action),
        typed_per_filter_config: [(filters::TRANSCODER.to_owned(), pack::any(&off))].into(),
        ..Default::default()
    }
}

/// A token that is sent along is not looked at.
pub fn no_token() -> jwt::PerRouteConfig {
    jwt::PerRouteConfig {
        requirement_specifier: Some(jwt::per_route_config::RequirementSpecifier::Disabled(true)),
    }
}
