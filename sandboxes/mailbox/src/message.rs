//! From a message's bytes to what people read: decoded headers, text, HTML, attachments.

use std::collections::BTreeMap;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType, parsers::MessageStream};
use serde::Serialize;

/// What a list of messages needs, read once when the message comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Without its angle brackets. None where the sender set none: such a message is never a duplicate.
    pub message_id: Option<String>,
    /// The address in the From header, if there is one.
    pub from: Option<String>,
    pub subject: String,
}

impl Summary {
    pub fn of(raw: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse_headers(raw) else {
            return Self { message_id: None, from: None, subject: String::new() };
        };
        let headers = headers(&message, raw);
        let message_id = headers
            .get("Message-ID")
            .map(|value| value.trim().trim_start_matches('<').trim_end_matches('>').trim().to_owned());
        Self {
            message_id: message_id.filter(|id| !id.is_empty()),
            from: message.from().and_then(|from| from.first()?.address()).map(str::to_owned),
            subject: headers.get("Subject").cloned().unwrap_or_default(),
        }
    }
}

/// A message as the API shows it.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Decoded; a header that is there several times has its values on lines.
    pub headers: BTreeMap<String, String>,
    /// The plain part, or the HTML part as text where there is no plain one.
    pub text: String,
    /// The HTML part, empty where there is none.
    pub html: String,
    pub attachments: Vec<Attachment>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    pub name: String,
    pub content_type: String,
    /// In bytes, decoded.
    pub size: usize,
}

impl Content {
    pub fn of(raw: &[u8]) -> Self {
        let Some(message) = MessageParser::default().parse(raw) else { return Self::default() };
        let html = message.html_bodies().find_map(|part| match &part.body {
            PartType::Html(html) => Some(html.to_string()),
            _ => None,
        });
        Self {
            headers: headers(&message, raw),
            text: message.body_text(0).unwrap_or_default().into_owned(),
            html: html.unwrap_or_default(),
            attachments: (0..message.attachment_count()).filter_map(|n| describe(&message, n)).collect(),
        }
    }
}

/// The decoded bytes of attachment `n`, from 0.
pub fn attachment(raw: &[u8], n: usize) -> Option<(Attachment, Vec<u8>)> {
    let message = MessageParser::default().parse(raw)?;
    let part = message.attachment(u32::try_from(n).ok()?)?;
    Some((describe(&message, n)?, part.contents().to_vec()))
}

fn describe(message: &Message<'_>, n: usize) -> Option<Attachment> {
    let part = message.attachment(u32::try_from(n).ok()?)?;
    let content_type = part.content_type().map(|kind| match kind.subtype() {
        Some(subtype) => format!("{}/{subtype}", kind.ctype()),
        None => kind.ctype().to_owned(),
    });
    Some(Attachment {
        name: part.attachment_name().map_or_else(|| format!("attachment-{}", n + 1), str::to_owned),
        content_type: content_type.unwrap_or_else(|| "application/octet-stream".into()),
        size: part.contents().len(),
    })
}

/// Every header read as free text, so that all are decoded alike and none is lost for being malformed.
fn headers(message: &Message<'_>, raw: &[u8]) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::<String, String>::new();
    for header in message.headers() {
        let Some(bytes) = raw.get(header.offset_start as usize..header.offset_end as usize) else { continue };
        let value = MessageStream::new(bytes).parse_unstructured().into_text().unwrap_or_default();
        headers
            .entry(header.name().to_owned())
            .and_modify(|values| {
                values.push('\n');
                values.push_str(&value);
            })
            .or_insert_with(|| value.into_owned());
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cyrillic_of_every_age_is_read() {
        // "Заказ" and "Привет" in windows-1251 and koi8-r.
        let cp1251 = b"From: =?windows-1251?Q?=CC=E0=E3=E0=E7=E8=ED?= <shop@artel.test>\r\n\
            Subject: =?windows-1251?B?x+Dq4Ic=?=\r\nMessage-ID: <1@artel.test>\r\n\
            Content-Type: text/plain; charset=windows-1251\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
            \xcf\xf0\xe8\xe2\xe5\xf2\r\n";
        let summary = Summary::of(cp1251);
        assert_eq!(summary.message_id.as_deref(), Some("1@artel.test"));
        assert_eq!(summary.from.as_deref(), Some("shop@artel.test"));
        let content = Content::of(cp1251);
        assert_eq!(content.headers["From"], "Магазин <shop@artel.test>");
        assert_eq!(content.text.trim(), "Привет");

        let koi8 = b"Subject: =?koi8-r?B?+sHLwdo=?=\r\nContent-Type: text/html; charset=koi8-r\r\n\
            Content-Transfer-Encoding: quoted-printable\r\n\r\n<p>=F0=D2=C9=D7=C5=D4</p>\r\n";
        assert_eq!(Summary::of(koi8).subject, "Заказ");
        let content = Content::of(koi8);
        assert_eq!(content.html.trim(), "<p>Привет</p>");
        assert_eq!(content.text.trim(), "Привет");
    }

    #[test]
    fn parts_and_attachments_are_told_apart() {
        let raw = "Subject: =?utf-8?Q?=D0=A7=D0=B5=D0=BA?=\r\nX-Trace: a\r\nX-Trace: b\r\n\
            Content-Type: multipart/mixed; boundary=m\r\n\r\n\
            --m\r\nContent-Type: multipart/alternative; boundary=a\r\n\r\n\
            --a\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nплоский\r\n\
            --a\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<b>жирный</b>\r\n--a--\r\n\
            --m\r\nContent-Type: application/pdf\r\n\
            Content-Disposition: attachment; filename*=utf-8''%D1%87%D0%B5%D0%BA.pdf\r\n\
            Content-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--m--\r\n"
            .as_bytes();
        let content = Content::of(raw);
        assert_eq!(content.headers["Subject"], "Чек");
        assert_eq!(content.headers["X-Trace"], "a\nb");
        assert_eq!((content.text.trim(), content.html.trim()), ("плоский", "<b>жирный</b>"));
        let expected =
            Attachment { name: "чек.pdf".into(), content_type: "application/pdf".into(), size: 4 };
        assert_eq!(content.attachments, [expected]);
        assert_eq!(attachment(raw, 0).unwrap().1, b"%PDF");
        assert_eq!(attachment(raw, 1), None);
    }

    #[test]
    fn anything_is_a_message() {
        for raw in [&b""[..], b"\r\n", b"no headers at all", b"\xff\xfe\x00", b"Message-ID: <>\r\n\r\n"] {
            assert_eq!(Summary::of(raw).message_id, None);
            let _ = Content::of(raw);
        }
    }
}
