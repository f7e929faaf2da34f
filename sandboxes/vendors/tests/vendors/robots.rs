use std::time::Instant;

use artel_vendors::{
    Act, At, Faults,
    robots::{self, Effect},
};
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, until};

fn job(external_id: &str, seconds: u32) -> Value {
    json!({
        "externalId": external_id,
        "dishes": [{"dishId": "1", "name": "Ramen", "quantity": 2,
            "steps": [{"action": "boil", "seconds": seconds}, {"action": "serve", "seconds": 0}]}],
        "ingredients": [{"id": "noodles", "amount": 200}],
    })
}

async fn status(client: &Client, external_id: &str) -> String {
    client.get(&format!("/v1/jobs/{external_id}")).await.1["status"].as_str().unwrap_or_default().to_owned()
}

async fn until_status(client: &Client, external_id: &str, wanted: &str) {
    until(wanted, async || (status(client, external_id).await == wanted).then_some(())).await;
}

#[tokio::test]
async fn a_job_is_cooked_once_however_often_it_is_put() {
    let line = robots::start(robots::Options { speed: 100.0, ..Default::default() }).await.unwrap();
    let client = Client::of(line.url());
    let (code, put) = client.post("/v1/jobs", &job("a", 10)).await;
    assert_eq!((code, put["status"].as_str()), (201, Some("queued")));
    assert_eq!(client.post("/v1/jobs", &job("a", 10)).await.0, 200);
    assert_eq!(client.post("/v1/jobs", &job("a", 11)).await.0, 409, "another job");
    until_status(&client, "a", "done").await;
    let (_, done) = client.get("/v1/jobs/a").await;
    let moment =
        |field: &str| done[field].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap();
    let took = moment("finishedAt") - moment("startedAt");
    assert!(
        took >= chrono::TimeDelta::milliseconds(200),
        "two times ten seconds at 100 times the speed: {took}"
    );
    assert_eq!(client.post("/v1/jobs", &job("a", 10)).await.0, 200);
    let cooked = line.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Started { .. })).count();
    assert_eq!(cooked, 1);
    assert_eq!(client.get("/v1/jobs/b").await.0, 404);
    assert_eq!(client.post("/v1/jobs", &json!({"externalId": "c", "dishes": []})).await.0, 400);
}

#[tokio::test]
async fn whoever_waits_hears_of_every_change_from_a_place_on() {
    let line = robots::start(robots::Options { speed: 50.0, ..Default::default() }).await.unwrap();
    let client = Client::of(line.url());
    let (_, none) = client.get("/v1/jobs?changedAfter=0").await;
    assert_eq!((none["jobs"].as_array().map(Vec::len), none["cursor"].as_u64()), (Some(0), Some(0)));
    let waiting = async { client.get("/v1/jobs?changedAfter=0&waitSeconds=20").await.1 };
    let putting = async { client.post("/v1/jobs", &job("a", 5)).await };
    let began = Instant::now();
    let (page, _) = tokio::join!(waiting, putting);
    assert!(began.elapsed() < PATIENCE / 2, "the change woke it");
    assert_eq!(page["jobs"][0]["externalId"], "a");
    let mut cursor = page["cursor"].as_u64().unwrap();
    let last = loop {
        let (_, page) = client.get(&format!("/v1/jobs?changedAfter={cursor}&waitSeconds=20")).await;
        let next = page["cursor"].as_u64().unwrap();
        assert!(next > cursor, "{page}");
        cursor = next;
        if page["jobs"][0]["status"] == "done" {
            break page;
        }
    };
    assert_eq!(last["jobs"][0]["changed"], cursor);
    let (_, all) = client.get("/v1/jobs?changedAfter=0").await;
    assert_eq!(all["jobs"].as_array().unwrap().len(), 1, "each job once, as it is now");
}

#[tokio::test]
async fn a_broken_job_is_begun_anew_when_it_is_asked_for() {
    let line = robots::start(robots::Options { speed: 1000.0, ..Default::default() }).await.unwrap();
    let client = Client::of(line.url());
    line.faults().set(Faults::script([Act::Break, Act::Twice, Act::Lose]));
    client.post("/v1/jobs", &job("a", 10)).await;
    client.post("/v1/jobs", &job("b", 10)).await;
    until_status(&client, "a", "broken").await;
    assert!(client.get("/v1/jobs/a").await.1["error"].as_str().unwrap().contains("gripper"));
    let lost = client.request("POST", "/v1/jobs/a/restart").send().await;
    assert!(lost.is_err());
    until_status(&client, "a", "done").await;
    assert_eq!(client.post("/v1/jobs/a/restart", &json!({})).await.0, 409);
    until_status(&client, "b", "done").await;
    let told = line.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Repeated { .. })).count();
    assert_eq!(told, 1, "b's end is told twice");
    line.faults().set(Faults { break_percent: 100.0, ..Faults::default() });
    client.post("/v1/jobs", &job("c", 10)).await;
    until_status(&client, "c", "broken").await;
}

#[tokio::test]
async fn stations_are_shared_and_a_restarted_line_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = At { data: Some(folder.path().to_owned()), ..At::default() };
    let slow = robots::Options { at, stations: 2, speed: 1.0 };
    let line = robots::start(slow.clone()).await.unwrap();
    let client = Client::of(line.url());
    for id in ["a", "b", "c"] {
        client.post("/v1/jobs", &job(id, 30)).await;
    }
    until_status(&client, "b", "cooking").await;
    assert_eq!((status(&client, "a").await, status(&client, "c").await), ("cooking".into(), "queued".into()));
    line.stop().await;
    let fast = robots::start(robots::Options { speed: 1000.0, ..slow }).await.unwrap();
    let client = Client::of(fast.url());
    for id in ["a", "b", "c"] {
        until_status(&client, id, "done").await;
    }
    let begun = fast.ledger().iter().filter(|entry| matches!(entry.effect, Effect::Started { .. })).count();
    assert_eq!(begun, 3, "nothing is cooked twice");
}
