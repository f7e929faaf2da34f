//! What the processes export, and that the dashboard shows nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use artel_discovery::Consul;
use serde_json::{Value, json};

use crate::dining::{Guest, open_kitchen};
use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, unique};

/// What shows itself only where something went wrong, or with a Fluent receiver.
const SELDOM: [&str; 22] = [
    "artel_client_retries_total",
    "artel_events_unroutable_total",
    "artel_log_lines_dropped_total",
    "artel_log_lines_sent_total",
    "artel_log_receiver_connected",
    "artel_persist_commit_conflicts_total",
    "artel_persist_commits_resolved_total",
    "artel_persist_groups_split_total",
    "artel_persist_stale_reads_total",
    "artel_persist_statement_errors_total",
    "artel_persist_watch_lag_seconds",
    "artel_persist_watch_rows_total",
    "artel_persist_watchers",
    "artel_persist_watchers_behind_total",
    "artel_persist_watchers_cut_total",
    "artel_process_stuck_total",
    "artel_process_takeovers_total",
    "artel_redis_errors_total",
    "artel_requests_shed_total",
    "artel_webhooks_settled_total",
    "gateway_requests_limited_total",
    "gateway_xds_nacks_total",
];

const SERVICES: [&str; 9] =
    ["billing", "catalog", "gateway", "identity", "notify", "order", "persist", "robotics", "webhook"];

/// The metrics that the dashboard's expressions name.
fn shown() -> BTreeSet<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/observability/dashboard.json");
    let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let words = targets.flat_map(|target| {
        let word = |character: char| !character.is_ascii_alphanumeric() && character != '_';
        target["expr"].as_str().unwrap().split(word)
    });
    let ours = |word: &&str| ["artel_", "gateway_", "process_"].iter().any(|ours| word.starts_with(ours));
    words.filter(ours).map(str::to_owned).collect()
}

/// The names of all that the services export now, counters of nothing yet left out.
async fn exported(mesh: &Mesh) -> BTreeSet<String> {
    let consul = Consul::new(mesh.place("consul")).unwrap();
    let mut names = BTreeSet::new();
    for service in SERVICES {
        for copy in consul.instances(service).await.unwrap_or_default() {
            let Ok(page) = mesh.http.get(format!("http://{}/metrics", copy.address)).send().await else {
                continue;
            };
            let page = page.text().await.unwrap();
            let lines = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
            names.extend(lines.map(|line| line.split(['{', ' ']).next().unwrap_or_default().to_owned()));
        }
    }
    names
}

#[tokio::test]
async fn a_running_mesh_exports_what_the_dashboard_shows() {
    let mesh = Mesh::get();
    let wanted: BTreeSet<String> =
        shown().into_iter().filter(|name| !SELDOM.contains(&name.as_str())).collect();
    assert!(wanted.len() > 25, "{wanted:?}");
    // Something of everything: a commit, an event, a listener, a mail, the cache.
    let editor = Person::editor(&mesh).await;
    let product = editor.product("чай для измерений", 100, 5).await;
    editor.order(&product, 1).await.ok();
    mesh.read("/api/v1/categories", None).await.ok();
    // A screen that stays, and a meal that is paid.
    open_kitchen(&mesh);
    let _screen = mesh.http.get(format!("{}/api/display/events", mesh.api)).send().await.unwrap();
    let guest = Guest::new(&mesh).await;
    let meal = guest.order(1).await;
    guest.pay(&meal, 0, &unique("pay")).await.ok();
    // Who has no role may not do this, says the service.
    let reader = Person::register(&mesh, "ru").await;
    let body = json!({"name": "чужое", "price": {"amountMinor": "1", "currency": "RUB"}});
    let refused = mesh.post("/api/v1/products", Some(&reader.token), &body).await;
    assert_eq!(refused.reason(), "ROLE_MISSING");
    // What the contracts do not allow, and what nobody waits for.
    let wrong = mesh.post("/api/v1/orders", Some(&reader.token), &json!({"nothing": 1})).await;
    assert_eq!(wrong.reason(), "INVALID_FIELDS");
    assert_eq!(mesh.post("/webhooks/nobody", None, &json!({})).await.reason(), "SOURCE_NOT_FOUND");
    let (mut missing, end) = (wanted, Instant::now() + PATIENCE);
    loop {
        let exported = exported(&mesh).await;
        missing.retain(|name| !exported.contains(name));
        if missing.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "nobody exports {missing:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
