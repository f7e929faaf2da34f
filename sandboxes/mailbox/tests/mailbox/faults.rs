use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Running, Wire, connection, letter, send};

async fn set(mailbox: &Running, faults: Value) {
    let response = mailbox.response("PUT", "/api/faults", faults.to_string()).await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn temporary_failures_are_retried_and_nothing_is_doubled() {
    let mailbox = Running::start().await;
    set(&mailbox, json!({"temporaryFailures": 2})).await;
    let raw = letter("1@artel.test", "retried");
    for _ in 0..2 {
        let error = send(mailbox.smtp, &["a@b.c"], &raw).await.unwrap_err();
        assert_eq!(error.status().map(u16::from), Some(451), "{error}");
        assert!(error.is_transient());
        assert!(mailbox.messages("").await.is_empty());
    }
    send(mailbox.smtp, &["a@b.c"], &raw).await.unwrap();
    assert_eq!(mailbox.messages("").await[0]["deliveries"], 1);
    assert_eq!(mailbox.get("/api/faults").await["temporaryFailures"], 0);
    assert_eq!(mailbox.get("/api/stats").await["refused"], 2);
    mailbox.stop().await;
}

#[tokio::test]
async fn a_connection_dropped_after_data_leaves_a_kept_message_and_an_unsure_sender() {
    let mailbox = Running::start().await;
    set(&mailbox, json!({"dropAfterData": 1})).await;
    let raw = letter("1@artel.test", "unsure");
    let error = send(mailbox.smtp, &["a@b.c"], &raw).await.unwrap_err();
    assert_eq!(error.status(), None, "no answer at all: {error}");
    assert_eq!(mailbox.messages("?to=a@b.c").await[0]["deliveries"], 1);
    // What a careful sender does then is seen as what it is: sent twice, read once.
    send(mailbox.smtp, &["a@b.c"], &raw).await.unwrap();
    let seen = mailbox.messages("?to=a@b.c").await;
    assert_eq!((seen.len(), seen[0]["deliveries"].as_u64()), (1, Some(2)));
    mailbox.stop().await;
}

#[tokio::test]
async fn refusals_and_delays_are_as_asked() {
    let mailbox = Running::start().await;
    set(&mailbox, json!({"rejectRate": 1.0})).await;
    let error = send(mailbox.smtp, &["a@b.c"], &letter("1@b.c", "no")).await.unwrap_err();
    assert_eq!(error.status().map(u16::from), Some(550), "{error}");
    assert!(error.is_permanent());

    set(&mailbox, json!({"rejectRate": 0.5})).await;
    let mut wire = Wire::greeted(mailbox.smtp).await;
    let mut refused = 0;
    for _ in 0..200 {
        wire.write("MAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n").await;
        for _ in 0..3 {
            wire.code().await;
        }
        refused += u32::from(wire.say("Subject: x\r\n\r\n.\r\n").await == 550);
    }
    assert!((50..150).contains(&refused), "{refused} of 200");

    set(&mailbox, json!({"delayMs": 300})).await;
    let began = Instant::now();
    let mut polite = connection(mailbox.smtp).await;
    assert!(polite.test_connected().await, "other commands are answered at once");
    assert!(began.elapsed() < Duration::from_millis(300));
    send(mailbox.smtp, &["a@b.c"], &letter("2@b.c", "slow")).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(300));
    mailbox.stop().await;
}

#[tokio::test]
async fn bad_faults_name_their_field_and_change_nothing() {
    let mailbox = Running::start().await;
    set(&mailbox, json!({"delayMs": 1, "temporaryFailures": 3})).await;
    for (body, field) in [
        (r#"{"delayMs": -1}"#, Some("delayMs")),
        (r#"{"temporaryFailures": 0, "rejectRate": "half"}"#, Some("rejectRate")),
        (r#"{"dropAfterData": 1e99}"#, Some("dropAfterData")),
        (r#"{"dropAfterDate": 1}"#, Some("dropAfterDate")),
        ("[]", None),
        ("{", None),
        ("", None),
    ] {
        let response = mailbox.response("PUT", "/api/faults", body).await;
        assert_eq!(response.status(), 400, "{body}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], 3);
        assert_eq!(problem["details"][0]["fieldViolations"][0]["field"].as_str(), field, "{problem}");
    }
    let unchanged = json!({"delayMs": 1, "rejectRate": 0.0, "dropAfterData": 0, "temporaryFailures": 3});
    assert_eq!(mailbox.get("/api/faults").await, unchanged);
    mailbox.stop().await;
}
