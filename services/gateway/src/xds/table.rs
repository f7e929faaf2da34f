//! The route table as a person reads it.

use std::fmt::Write as _;

use envoy_types::pb::envoy::config::route::v3 as route;
use route::header_matcher::HeaderMatchSpecifier;
use route::route::Action;
use route::route_match::PathSpecifier;

use super::filters;

/// A line a route, in the order in which Envoy looks.
pub fn table(routes: &route::RouteConfiguration) -> String {
    let mut text = String::new();
    for route in routes.virtual_hosts.iter().flat_map(|host| &host.routes) {
        let matched = route.r#match.clone().unwrap_or_default();
        let verb = matched.headers.iter().find(|header| header.name == ":method").and_then(verb);
        let path = match matched.path_specifier {
            Some(PathSpecifier::Path(path)) => path,
            Some(PathSpecifier::SafeRegex(regex)) => format!("~{}", regex.regex),
            Some(PathSpecifier::Prefix(path) | PathSpecifier::PathSeparatedPrefix(path)) => {
                format!("{path}*")
            }
            _ => "?".to_owned(),
        };
        let has = |filter: &str| route.typed_per_filter_config.contains_key(filter);
        let mut notes = Vec::new();
        let target = match &route.action {
            Some(Action::Route(action)) => {
                let retries = action.retry_policy.as_ref().map(|policy| policy.retry_on.as_str());
                let entrance = route.request_headers_to_remove.iter().any(|name| name == "authorization");
                notes.extend(entrance.then_some("entrance"));
                notes.extend(
                    (has(filters::JWT) && !entrance && route.name != "webhook").then_some("signed in"),
                );
                let asking = matched.headers.iter().any(|header| header.name == ":path");
                let checked = if asking { "query checked" } else { "checked" };
                notes.extend(has(filters::EXT_AUTHZ).then_some(checked));
                notes.extend((has(filters::BUFFER) && route.name != "webhook").then_some("stream"));
                notes.extend(retries.filter(|on| on.contains("unavailable")).map(|_| "retried"));
                match &action.cluster_specifier {
                    Some(route::route_action::ClusterSpecifier::Cluster(cluster)) => cluster.clone(),
                    _ => "?".to_owned(),
                }
            }
            Some(Action::DirectResponse(answer)) => answer.status.to_string(),
            Some(Action::Redirect(_)) => "redirect".to_owned(),
            _ => "?".to_owned(),
        };
        let line =
            format!("{:7} {path} -> {target} {}", verb.unwrap_or_else(|| "*".to_owned()), notes.join(", "));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn verb(header: &route::HeaderMatcher) -> Option<String> {
    use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
    match header.header_match_specifier.as_ref()? {
        HeaderMatchSpecifier::StringMatch(matcher) => match matcher.match_pattern.as_ref()? {
            MatchPattern::Exact(verb) => Some(verb.clone()),
            MatchPattern::SafeRegex(verbs) => Some(verbs.regex.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[test]
fn the_route_table_is_what_the_contracts_say() {
    let surface = crate::Surface::read(artel_proto::annotations::pool()).unwrap();
    let config: crate::GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
    insta::assert_snapshot!(table(&super::routes::build(&surface, &config)));
}

#[test]
fn versions_are_the_same_each_time_and_change_with_the_configuration() {
    use super::snapshot::{ResourceType, Snapshot};
    let surface = crate::Surface::read(artel_proto::annotations::pool()).unwrap();
    let mut config: crate::GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
    let version = |config: &crate::GatewayConfig| {
        let snapshot = Snapshot::build(&surface, config);
        snapshot.get(ResourceType::Route, "edge").unwrap().version.clone()
    };
    let first = version(&config);
    for _ in 0..5 {
        assert_eq!(version(&config), first);
    }
    config.timeout_ms += 1;
    assert_ne!(version(&config), first);
}

#[test]
fn what_changes_while_envoy_runs_leaves_its_listeners_alone() {
    use super::snapshot::{ResourceType, Snapshot};
    let surface = crate::Surface::read(artel_proto::annotations::pool()).unwrap();
    let mut config: crate::GatewayConfig = toml::from_str(crate::DEFAULTS).unwrap();
    let versions = |config: &crate::GatewayConfig| {
        let snapshot = Snapshot::build(&surface, config);
        [(ResourceType::Listener, "edge"), (ResourceType::Cluster, "order"), (ResourceType::Route, "edge")]
            .map(|(kind, name)| snapshot.get(kind, name).unwrap().version.clone())
    };
    let first = versions(&config);
    config.limits.per_user = "1/60s".parse().unwrap();
    assert_eq!(versions(&config), first, "how many is the gateway's business alone");
    config.limits.on = false;
    let off = versions(&config);
    config.cors_origins = vec!["*".to_owned()];
    let open = versions(&config);
    assert_eq!((&off[..2], &open[..2]), (&first[..2], &first[..2]));
    assert!(off[2] != first[2] && open[2] != off[2]);
}
