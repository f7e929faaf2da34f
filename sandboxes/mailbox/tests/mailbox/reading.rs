use futures::StreamExt;
use serde_json::Value;

use crate::support::{PATIENCE, Running, letter, messages, send};

fn subjects(seen: &[Value]) -> Vec<&str> {
    seen.iter().map(|message| message["subject"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn pages_are_stable_while_mail_comes_in() {
    let mailbox = Running::start().await;
    for n in 0..7 {
        let to = if n % 2 == 0 { "even+tag@b.c" } else { "odd@b.c" };
        send(mailbox.smtp, &[to], &letter(&format!("{n}@b.c"), &format!("letter {n}"))).await.unwrap();
    }
    let mut path = "/api/messages?pageSize=3".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = mailbox.get(&path).await;
        assert!(messages(&page).len() <= 3);
        seen.extend(messages(&page));
        let token = page["nextPageToken"].as_str().unwrap();
        if token.is_empty() {
            break;
        }
        let new = format!("new after {}", seen.len());
        send(mailbox.smtp, &["odd@b.c"], &letter(&new.replace(' ', "-"), &new)).await.unwrap();
        path = format!("/api/messages?pageSize=3&pageToken={token}");
    }
    let expected: Vec<_> = (0..7).rev().map(|n| format!("letter {n}")).collect();
    assert_eq!(subjects(&seen), expected);

    for address in ["even+tag@b.c", "even%2Btag@b.c", "EVEN%2btag@B.C"] {
        let even = mailbox.messages(&format!("?to={address}")).await;
        assert_eq!(subjects(&even), ["letter 6", "letter 4", "letter 2", "letter 0"]);
    }
    assert!(mailbox.messages("?to=even").await.is_empty());
    assert_eq!(mailbox.messages("?query=EVEN").await.len(), 4);
    assert_eq!(subjects(&mailbox.messages("?query=Letter%205").await), ["letter 5"]);
    for (query, field) in
        [("pageSize=-1", "pageSize"), ("pageToken=eA", "pageToken"), ("recipient=a", "recipient")]
    {
        let response = mailbox.response("GET", &format!("/api/messages?{query}"), "").await;
        assert_eq!(response.status(), 400);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["details"][0]["fieldViolations"][0]["field"], field);
    }
    mailbox.stop().await;
}

#[tokio::test]
async fn one_message_is_shown_as_json_as_source_and_as_harmless_html() {
    let mailbox = Running::start().await;
    let raw = "Subject: =?utf-8?B?0L/RgNC40LLQtdGC?=\r\nContent-Type: text/html; charset=utf-8\r\n\r\n\
        <h1>Привет</h1><script>alert(1)</script>\r\n";
    send(mailbox.smtp, &["a@b.c"], raw).await.unwrap();
    let id = mailbox.messages("").await[0]["id"].as_str().unwrap().to_owned();
    let shown = mailbox.get(&format!("/api/messages/{id}")).await;
    assert_eq!(shown["subject"], "привет");
    assert_eq!(shown["text"].as_str().unwrap().trim(), "Привет");
    let source = mailbox.response("GET", &format!("/api/messages/{id}/raw"), "").await;
    assert_eq!(source.headers()["content-type"], "text/plain; charset=utf-8");
    // Lettre ends every message with one more line.
    assert_eq!(source.text().await.unwrap(), format!("{raw}\r\n"));
    let html = mailbox.response("GET", &format!("/api/messages/{id}/html"), "").await;
    let policy = html.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("sandbox ") && !policy.contains("allow-scripts"), "{policy}");
    assert!(policy.contains("default-src 'none'"), "{policy}");

    for path in ["/api/messages/nobody", "/api/messages/00000000-0000-7000-8000-000000000001/raw", "/api/x"] {
        let response = mailbox.response("GET", path, "").await;
        assert_eq!(response.status(), 404, "{path}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], 5);
    }
    assert_eq!(mailbox.response("POST", "/api/messages", "").await.status(), 405);
    assert_eq!(mailbox.response("GET", "/healthz", "").await.status(), 200);
    let page = mailbox.response("GET", "/", "").await;
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
    let page = page.text().await.unwrap();
    for file in ["page.css", "page.js"] {
        assert!(page.contains(file));
        assert_eq!(mailbox.response("GET", &format!("/{file}"), "").await.status(), 200);
    }
    mailbox.stop().await;
}

#[tokio::test]
async fn the_page_is_told_of_changes_and_let_go_at_the_end() {
    let mailbox = Running::start().await;
    let mut events = mailbox.response("GET", "/api/events", "").await.bytes_stream();
    let mut read = async || {
        let chunk = tokio::time::timeout(PATIENCE, events.next()).await.expect("no event")?;
        Some(String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    };
    assert_eq!(read().await.unwrap(), "event: change\ndata: 0\n\n");
    send(mailbox.smtp, &["a@b.c"], "Subject: news\r\n\r\n").await.unwrap();
    assert_eq!(read().await.unwrap(), "event: change\ndata: 1\n\n");
    mailbox.stop().await;
    assert_eq!(read().await, None);
}
