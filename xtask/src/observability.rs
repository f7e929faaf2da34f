//! The dashboard and the rules in system/observability use only metrics that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::artel;

/// What a source may name a metric with.
const PREFIXES: [&str; 3] = ["artel_", "gateway_", "process_"];
/// What a histogram adds to its name.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Every expression of the dashboard.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().into_iter().flatten();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    targets.map(|target| target["expr"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The metrics that a text names.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|character: char| !character.is_ascii_alphanumeric() && !"_:".contains(character))
        .filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

/// The metrics that the sources export: every word in them that looks like one.
fn exported() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["packages", "services", "sandboxes"] {
        read(&artel::root().join(folder), &mut found);
    }
    found
}

fn read(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            read(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            found.extend(source.split('"').skip(1).flat_map(names).map(str::to_owned));
        }
    }
}

fn missing<'a>(used: impl IntoIterator<Item = &'a str>, exported: &BTreeSet<String>) -> Vec<&'a str> {
    let known = |name: &str| {
        let parts = PARTS.iter().filter_map(|part| name.strip_suffix(part));
        exported.contains(name) || parts.into_iter().any(|name| exported.contains(name))
    };
    used.into_iter().filter(|name| !known(name)).collect()
}

#[test]
fn the_dashboard_and_the_rules_use_metrics_that_there_are() {
    let folder = artel::root().join("system/observability");
    let dashboard = fs::read_to_string(folder.join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let rules = fs::read_to_string(folder.join("rules.yml")).unwrap();
    let rules: Value = serde_norway::from_str(&rules).unwrap();
    let rules: Vec<&Value> = rules["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
        .collect();
    let mut expressions = expressions(&dashboard);
    expressions.extend(rules.iter().map(|rule| rule["expr"].as_str().unwrap().to_owned()));
    assert!(expressions.len() > 50, "{} expressions", expressions.len());
    // What is computed ahead has names with colons.
    let computed: BTreeSet<&str> = rules.iter().filter_map(|rule| rule["record"].as_str()).collect();
    let exported = exported();
    for expression in &expressions {
        let used = names(expression);
        assert!(!used.is_empty() || expression.contains(':'), "{expression} names no metric");
        assert_eq!(missing(used, &exported), [""; 0], "in {expression}");
        let words = expression
            .split(|character: char| !character.is_ascii_alphanumeric() && !"_:".contains(character));
        for word in words.filter(|word| word.starts_with("artel:")) {
            assert!(computed.contains(word), "{word} in {expression} is computed nowhere");
        }
    }
    // Whoever is called at night is told what to do.
    for alert in rules.iter().filter(|rule| rule["alert"].is_string()) {
        assert!(alert["annotations"]["do"].is_string(), "{alert}");
        assert!(["page", "ticket"].contains(&alert["labels"]["severity"].as_str().unwrap()), "{alert}");
    }
}

#[test]
fn a_metric_that_there_is_not_is_found_out() {
    let exported = BTreeSet::from(["artel_request_seconds".to_owned()]);
    let used = names("rate(artel_request_seconds_bucket[1m]) + artel_requests");
    assert_eq!(missing(used, &exported), ["artel_requests"]);
}
