use crate::support::{Running, letter, send};

#[tokio::test]
async fn the_same_message_for_the_same_reader_is_kept_once_and_counted() {
    let mailbox = Running::start().await;
    let placed = letter("order-1-placed@artel.test", "Заказ принят");
    for to in [&["anna@b.c"][..], &["Anna@B.C"], &["anna@b.c", "boris@b.c"], &["boris@b.c"]] {
        send(mailbox.smtp, to, &placed).await.unwrap();
    }
    send(mailbox.smtp, &["anna@b.c"], &letter("order-1-paid@artel.test", "Заказ оплачен")).await.unwrap();

    let expected = [("?to=anna@b.c", vec![1, 3]), ("?to=boris@b.c", vec![2]), ("", vec![1, 2, 3])];
    let check = async |mailbox: &Running| {
        for (query, deliveries) in &expected {
            let seen = mailbox.messages(query).await;
            let counted: Vec<_> =
                seen.iter().map(|message| message["deliveries"].as_u64().unwrap()).collect();
            assert_eq!(&counted, deliveries, "{query}");
        }
        let stats = mailbox.get("/api/stats").await;
        assert_eq!(stats["accepted"], 5);
        assert_eq!(stats["suppressed"], 3);
        assert_eq!(stats["messages"], 3);
    };
    check(&mailbox).await;
    // The ledger has every sending, so that a restart counts the same.
    let mailbox = mailbox.restart().await;
    check(&mailbox).await;
    send(mailbox.smtp, &["boris@b.c"], &placed).await.unwrap();
    assert_eq!(mailbox.messages("?to=boris@b.c").await[0]["deliveries"], 3);
    mailbox.stop().await;
}

#[tokio::test]
async fn messages_without_an_id_are_never_duplicates() {
    let mailbox = Running::start().await;
    for _ in 0..3 {
        send(mailbox.smtp, &["anna@b.c"], "Subject: same\r\n\r\nsame\r\n").await.unwrap();
    }
    assert_eq!(mailbox.messages("?to=anna@b.c").await.len(), 3);
    mailbox.stop().await;
}

#[tokio::test]
async fn after_clearing_a_message_is_new_again() {
    let mailbox = Running::start().await;
    let placed = letter("order-1@artel.test", "once");
    send(mailbox.smtp, &["anna@b.c"], &placed).await.unwrap();
    assert_eq!(mailbox.response("DELETE", "/api/messages", "").await.status(), 200);
    assert!(mailbox.messages("").await.is_empty());
    let mailbox = mailbox.restart().await;
    assert!(mailbox.messages("").await.is_empty());
    let stats = mailbox.get("/api/stats").await;
    assert_eq!(stats, serde_json::json!({"accepted": 0, "suppressed": 0, "refused": 0, "messages": 0}));
    send(mailbox.smtp, &["anna@b.c"], &placed).await.unwrap();
    assert_eq!(mailbox.messages("?to=anna@b.c").await[0]["deliveries"], 1);
    mailbox.stop().await;
}
