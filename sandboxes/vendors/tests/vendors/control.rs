use artel_vendors::{Act, Faults, bank, sms};
use serde_json::{Value, json};

use crate::support::{Client, answer};

#[tokio::test]
async fn bad_faults_name_their_field_and_change_nothing() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    let put = async |body: &str| answer(client.request("PUT", "/sandbox/faults").body(body.to_owned())).await;
    assert_eq!(put(r#"{"losePercent": 2, "script": ["twice", "slow:5"]}"#).await.0, 200);
    for (body, field) in [
        (r#"{"failPercent": 200}"#, "failPercent"),
        (r#"{"slowMs": -1}"#, "slowMs"),
        (r#"{"script": ["explode"]}"#, "script"),
        (r#"{"losesPercent": 1}"#, "losesPercent"),
        ("[]", ""),
        ("{", ""),
    ] {
        let (status, problem) = put(body).await;
        assert_eq!(status, 400, "{body}");
        assert_eq!(problem["details"][0]["fieldViolations"][0]["field"], field, "{problem}");
    }
    let (_, faults) = client.get("/sandbox/faults").await;
    assert_eq!(faults["losePercent"], 2.0);
    assert_eq!(faults["script"], json!(["twice", "slow:5"]));
}

#[tokio::test]
async fn the_ledger_is_read_from_a_place_on_and_cleared() {
    let sms = sms::start(sms::Options::default()).await.unwrap();
    let client = Client::of(sms.url());
    for id in ["1", "2", "3"] {
        crate::sms::send(&client, id, "77010000001", "text").await;
    }
    let (_, page) = client.get("/sandbox/ledger?after=1").await;
    let ids: Vec<_> = page["entries"].as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect();
    assert_eq!(ids, ["2", "3"]);
    assert_eq!(page["entries"][0]["number"], 2);
    assert_eq!(answer(client.request("DELETE", "/sandbox/ledger")).await.0, 200);
    assert_eq!(client.get("/sandbox/ledger").await.1["entries"], Value::Array(Vec::new()));
    assert!(sms.ledger().is_empty());
}

#[tokio::test]
async fn a_lost_answer_is_no_answer_and_an_outage_leaves_the_control_side() {
    let sms = sms::start(sms::Options::default()).await.unwrap();
    let client = Client::of(sms.url());
    sms.faults().set(Faults::script([Act::Lose]));
    let lost = crate::sms::request(&client, "1", "77010000001", "text").send().await.unwrap_err();
    assert!(!lost.is_connect() && !lost.is_timeout(), "the connection was closed: {lost:?}");
    assert_eq!(sms.ledger().len(), 1);
    sms.faults().set(Faults::down());
    assert_eq!(crate::sms::send(&client, "2", "77010000001", "text").await.0, 503);
    assert_eq!(client.get("/sandbox/faults").await.1["down"], true);
    assert_eq!(client.get("/healthz").await.0, 200);
    assert_eq!(sms.ledger().len(), 1);
}

#[tokio::test]
async fn people_get_a_page_that_runs_its_own_script_only() {
    let bank = bank::start(bank::Options::default()).await.unwrap();
    let client = Client::of(bank.url());
    for (path, kind) in
        [("/", "text/html"), ("/sandbox/page.js", "text/javascript"), ("/sandbox/page.css", "text/css")]
    {
        let response = client.request("GET", path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert!(header("content-type").starts_with(kind), "{path}");
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
    }
    let page = client.get("/").await.1;
    assert!(page.as_str().unwrap().contains("<h1>bank</h1>"));
}
