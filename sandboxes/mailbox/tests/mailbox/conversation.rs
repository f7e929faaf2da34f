use std::time::Duration;

use artel_mailbox::Limits;
use lettre::{
    AsyncTransport, Message,
    message::{Attachment, MultiPart, SinglePart, header::ContentType},
};

use crate::support::{Running, Wire, send, transport};

#[tokio::test]
async fn a_message_of_lettre_is_read_back_whole() {
    let mailbox = Running::start().await;
    let message = Message::builder()
        .from("Магазин Артель <shop@artel.test>".parse().unwrap())
        .to("Анна <anna@artel.test>".parse().unwrap())
        .cc("boris@artel.test".parse().unwrap())
        .bcc("audit@artel.test".parse().unwrap())
        .message_id(Some("<order-1@artel.test>".into()))
        .subject("Заказ №1 принят")
        .multipart(
            MultiPart::mixed()
                .multipart(MultiPart::alternative_plain_html(
                    "Здравствуйте!\n.точка в начале строки\n".to_owned(),
                    "<p>Здравствуйте!</p>".to_owned(),
                ))
                .singlepart(
                    Attachment::new("чек.txt".into())
                        .body("итого 129,00 ₽".to_owned(), ContentType::TEXT_PLAIN),
                )
                .singlepart(
                    SinglePart::builder().header(ContentType::TEXT_HTML).body("<i>ещё</i>".to_owned()),
                ),
        )
        .unwrap();
    transport(mailbox.smtp).send(message).await.unwrap();

    let [seen] = &mailbox.messages("?to=Anna@Artel.Test").await[..] else { panic!("not one message") };
    assert_eq!(seen["subject"], "Заказ №1 принят");
    assert_eq!(seen["from"], "shop@artel.test");
    assert_eq!(seen["messageId"], "order-1@artel.test");
    assert_eq!(seen["headers"]["From"], "Магазин Артель <shop@artel.test>");
    assert_eq!(seen["headers"]["Cc"], "boris@artel.test");
    assert_eq!(seen["headers"].get("Bcc"), None);
    assert_eq!(
        seen["text"].as_str().unwrap().replace("\r\n", "\n"),
        "Здравствуйте!\n.точка в начале строки\n"
    );
    assert_eq!(seen["html"], "<p>Здравствуйте!</p>");
    assert_eq!(seen["attachments"][0]["name"], "чек.txt");
    assert_eq!(seen["deliveries"], 1);
    let mut to: Vec<_> = seen["to"].as_array().unwrap().iter().map(|to| to.as_str().unwrap()).collect();
    to.sort_unstable();
    assert_eq!(to, ["anna@artel.test", "audit@artel.test", "boris@artel.test"]);
    let file = format!("/api/messages/{}/attachments/0", seen["id"].as_str().unwrap());
    let file = mailbox.response("GET", &file, "").await;
    assert_eq!(file.headers()["content-disposition"], "attachment; filename*=UTF-8''%D1%87%D0%B5%D0%BA.txt");
    assert_eq!(file.text().await.unwrap(), "итого 129,00 ₽");
    mailbox.stop().await;
}

#[tokio::test]
async fn pipelined_commands_in_one_packet_are_answered_in_order() {
    let mailbox = Running::start().await;
    let mut wire = Wire::open(mailbox.smtp).await;
    let conversation = "EHLO test\r\nMAIL FROM:<> SIZE=20 BODY=8BITMIME\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<A@b.c>\r\n\
        DATA\r\nSubject: one\r\n\r\n..\r\n.\r\n\
        mail from:<x@y.z>\r\nrcpt to:<d@e.f>\r\ndata\r\n.\r\n\
        NOOP\r\nVRFY me\r\nRSET\r\nHELP\r\nQUIT\r\n";
    wire.write(conversation).await;
    let mut codes = Vec::new();
    let mut hello = String::new();
    loop {
        let answer = wire.answer().await;
        if answer.is_empty() {
            break;
        }
        codes.push(answer[..3].parse::<u16>().unwrap());
        if answer.contains("PIPELINING") {
            hello = answer;
        }
    }
    assert_eq!(codes, [220, 250, 250, 250, 250, 354, 250, 250, 250, 354, 250, 250, 252, 250, 214, 221]);
    for extension in ["SIZE 10485760", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"] {
        assert!(hello.contains(extension), "{hello}");
    }
    let [empty, one] = &mailbox.messages("").await[..] else { panic!("not two messages") };
    assert_eq!((empty["to"][0].as_str(), empty["size"].as_u64()), (Some("d@e.f"), Some(0)));
    assert_eq!(one["text"].as_str().unwrap().trim(), ".");
    assert_eq!(one["envelopeFrom"], "");
    assert_eq!(one["to"].as_array().unwrap().len(), 1);
    mailbox.stop().await;
}

#[tokio::test]
async fn commands_out_of_order_or_malformed_are_refused_and_change_nothing() {
    let mailbox = Running::start().await;
    let mut wire = Wire::open(mailbox.smtp).await;
    assert_eq!(wire.code().await, 220);
    assert_eq!(wire.say("MAIL FROM:<a@b.c>\r\n").await, 503);
    assert_eq!(wire.say("HELO test\r\n").await, 250);
    for (line, code) in [
        ("RCPT TO:<a@b.c>\r\n", 503),
        ("DATA\r\n", 503),
        ("MAIL FROM:<no-at-sign>\r\n", 501),
        ("MAIL FROM:<a@b.c> BODY=BINARYMIME\r\n", 555),
        ("MAIL FROM:<a@b.c> RET=FULL\r\n", 555),
        ("MAIL FROM:<почта@b.c>\r\n", 550),
        ("MAIL FROM:<a@b.c>\r\n", 250),
        ("MAIL FROM:<a@b.c>\r\n", 503),
        ("DATA\r\n", 554),
        ("RCPT TO:<a@b.c> NOTIFY=NEVER\r\n", 555),
        ("RCPT TO:<почта@b.c>\r\n", 553),
        ("RSET\r\n", 250),
        ("MAIL FROM:<почта@b.c> SMTPUTF8\r\n", 250),
        ("RCPT TO:<ящик@b.c>\r\n", 250),
        ("STARTTLS\r\n", 502),
        ("AUTH PLAIN AGEAYg==\r\n", 502),
        ("GET / HTTP/1.1\r\n", 500),
        ("DATA\r\n", 354),
        ("Subject: hi\r\n\r\n.\r\n", 250),
    ] {
        assert_eq!(wire.say(line).await, code, "{line}");
    }
    let all = mailbox.messages("").await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["to"][0], "ящик@b.c");
    assert_eq!(mailbox.get("/api/stats").await["refused"], 14);

    // A client that isn't one is let go.
    let mut browser = Wire::greeted(mailbox.smtp).await;
    browser.write("Accept: text/html\r\n".repeat(20)).await;
    for _ in 0..19 {
        assert_eq!(browser.code().await, 500);
    }
    assert_eq!(browser.code().await, 421);
    assert_eq!(browser.answer().await, "");
    mailbox.stop().await;
}

#[tokio::test]
async fn what_is_too_long_is_refused_and_the_conversation_goes_on() {
    let limits = Limits { message_bytes: 10_000, recipients: 3, ..Limits::default() };
    let mailbox = Running::start_with(limits).await;
    let mut wire = Wire::greeted(mailbox.smtp).await;
    assert_eq!(wire.say("MAIL FROM:<a@b.c> SIZE=10001\r\n").await, 552);
    assert_eq!(wire.say(&format!("NOOP {}\r\n", "x".repeat(100_000))).await, 500);
    for text in ["y".repeat(80) + "\r\n", "..\r\n".into()] {
        assert_eq!(wire.say("MAIL FROM:<a@b.c> SIZE=10000\r\n").await, 250);
        assert_eq!(wire.say("RCPT TO:<a@b.c>\r\n").await, 250);
        assert_eq!(wire.say("DATA\r\n").await, 354);
        wire.write(text.repeat(20_000)).await;
        assert_eq!(wire.say(".\r\n").await, 552);
    }
    assert_eq!(wire.say("MAIL FROM:<a@b.c>\r\n").await, 250);
    for (n, code) in [(1, 250), (2, 250), (3, 250), (4, 452), (3, 250)] {
        assert_eq!(wire.say(&format!("RCPT TO:<a{n}@b.c>\r\n")).await, code);
    }
    assert_eq!(wire.say("DATA\r\n").await, 354);
    assert_eq!(wire.say(&format!("Subject: {}\r\n\r\n.\r\n", "s".repeat(990))).await, 550);
    assert!(mailbox.messages("").await.is_empty());
    assert_eq!(wire.say("MAIL FROM:<a@b.c>\r\nRCPT TO:<a@b.c>\r\n").await, 250);
    assert_eq!(wire.code().await, 250);
    assert_eq!(wire.say("DATA\r\n").await, 354);
    assert_eq!(wire.say(".\r\n").await, 250);
    assert_eq!(mailbox.messages("").await.len(), 1);
    mailbox.stop().await;
}

#[tokio::test]
async fn silent_clients_and_crowds_are_bounded() {
    let limits = Limits { idle: Duration::from_millis(300), connections: 2, ..Limits::default() };
    let mailbox = Running::start_with(limits).await;
    let mut first = Wire::greeted(mailbox.smtp).await;
    let mut second = Wire::greeted(mailbox.smtp).await;
    let mut third = Wire::open(mailbox.smtp).await;
    assert_eq!(third.code().await, 421);
    assert_eq!(third.answer().await, "");
    // In the middle of a message too, and then their places are free again.
    assert_eq!(second.say("MAIL FROM:<a@b.c>\r\n").await, 250);
    assert_eq!(first.code().await, 421);
    assert_eq!(second.code().await, 421);
    assert_eq!((first.answer().await, second.answer().await), (String::new(), String::new()));
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while send(mailbox.smtp, &["a@b.c"], "Subject: in\r\n\r\n").await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the places were not given back");
    }
    mailbox.stop().await;
}

#[tokio::test]
async fn a_stop_takes_the_message_that_is_being_sent_and_no_other() {
    let mailbox = Running::start().await;
    let mut idle = Wire::greeted(mailbox.smtp).await;
    let mut busy = Wire::greeted(mailbox.smtp).await;
    assert_eq!(busy.say("MAIL FROM:<a@b.c>\r\n").await, 250);
    assert_eq!(busy.say("RCPT TO:<a@b.c>\r\n").await, 250);
    assert_eq!(busy.say("DATA\r\n").await, 354);
    let stopping = tokio::spawn(mailbox.stop());
    assert_eq!(idle.code().await, 421);
    assert_eq!(idle.answer().await, "");
    assert_eq!(busy.say("Subject: last\r\n\r\n.\r\n").await, 250);
    assert_eq!(busy.code().await, 421);
    let folder = stopping.await.unwrap();
    let mailbox = Running::start_in(folder, Limits::default()).await;
    assert_eq!(mailbox.messages("").await[0]["subject"], "last");
    mailbox.stop().await;
}
