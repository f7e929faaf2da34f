//! The kept messages, newest first.

use std::{collections::HashMap, sync::atomic::Ordering};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::{HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{Reader, problem::Problem};
use crate::{
    message::{self, Content},
    store::{Entry, Filter},
};

const USUAL_PAGE: usize = 200;
const LONGEST_PAGE: usize = 1000;
/// A page ends early when the messages on it have this many bytes together.
const PAGE_BYTES: usize = 32 * 1024 * 1024;
/// What a message may do where it is shown: bring its own styles and pictures inside it, open links in a new
/// tab. No scripts, no requests that would tell the sender that it was read.
const MESSAGE_POLICY: &str = "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
     style-src 'unsafe-inline'; img-src data:; font-src data:";

pub async fn list(
    State(reader): State<Reader>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<Value>, Problem> {
    let asked = Asked::from_query(query)?;
    let (entries, next) = {
        let store = reader.desk.clerk.store();
        let (mut entries, mut bytes, mut next) = (Vec::new(), 0, None);
        for entry in store.newest(&asked.filter, asked.before) {
            if entries.len() == asked.size || bytes > PAGE_BYTES {
                next = entries.last().map(|last: &Entry| last.number);
                break;
            }
            bytes += entry.place.size();
            entries.push(entry.clone());
        }
        (entries, next)
    };
    let token = next.map(|before| asked.token(before)).unwrap_or_default();
    let messages = blocking(move || {
        entries.iter().map(|entry| shown(entry, asked.filter.to.as_deref())).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    Ok(Json(json!({"messages": messages, "nextPageToken": token})))
}

pub async fn clear(State(reader): State<Reader>) -> Result<Json<Value>, Problem> {
    reader.desk.clerk.clear().await.map_err(Problem::internal)?;
    reader.desk.refused.store(0, Ordering::Relaxed);
    Ok(Json(json!({})))
}

pub async fn show(State(reader): State<Reader>, Path(id): Path<String>) -> Result<Json<Value>, Problem> {
    let entry = find(&reader, &id)?;
    Ok(Json(blocking(move || shown(&entry, None)).await?))
}

pub async fn raw(State(reader): State<Reader>, Path(id): Path<String>) -> Result<Response, Problem> {
    let entry = find(&reader, &id)?;
    let raw = blocking(move || entry.place.read()).await?;
    // As text, so that a browser shows it and never renders it.
    Ok((plain(), raw).into_response())
}

pub async fn html(State(reader): State<Reader>, Path(id): Path<String>) -> Result<Response, Problem> {
    let entry = find(&reader, &id)?;
    let content = blocking(move || entry.place.read().map(|raw| Content::of(&raw))).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, MESSAGE_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let body = format!("<!doctype html><meta charset=\"utf-8\"><base target=\"_blank\">{}", content.html);
    Ok((headers, body).into_response())
}

pub async fn attachment(
    State(reader): State<Reader>,
    Path((id, n)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let entry = find(&reader, &id)?;
    let missing = || Problem::not_found("the message has no such attachment; they are counted from 0");
    let n = n.parse().map_err(|_| missing())?;
    let found = blocking(move || entry.place.read().map(|raw| message::attachment(&raw, n))).await?;
    let (attachment, bytes) = found.ok_or_else(missing)?;
    let disposition = format!("attachment; filename*=UTF-8''{}", percent_encoded(&attachment.name));
    // Whatever it claims to be, it is only to be saved.
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    Ok((StatusCode::OK, headers, bytes).into_response())
}

fn plain() -> [(HeaderName, &'static str); 2] {
    [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]
}

fn find(reader: &Reader, id: &str) -> Result<Entry, Problem> {
    let found = id.parse().ok().and_then(|id| reader.desk.clerk.store().get(id).cloned());
    found.ok_or_else(|| Problem::not_found("there is no such message; it may have been cleared"))
}

fn shown(entry: &Entry, to: Option<&str>) -> std::io::Result<Value> {
    let content = Content::of(&entry.place.read()?);
    let recipients: Vec<_> = entry
        .recipients
        .iter()
        .map(|recipient| json!({"address": recipient.address, "deliveries": recipient.deliveries}))
        .collect();
    Ok(json!({
        "id": entry.id.to_string(),
        "messageId": entry.summary.message_id.as_deref().unwrap_or_default(),
        "from": entry.summary.from.as_deref().unwrap_or(&entry.envelope_from),
        "envelopeFrom": entry.envelope_from,
        "to": entry.recipients.iter().map(|recipient| &recipient.address).collect::<Vec<_>>(),
        "recipients": recipients,
        "subject": entry.summary.subject,
        "text": content.text,
        "html": content.html,
        "headers": content.headers,
        "attachments": content.attachments,
        "size": entry.place.size(),
        "receiveTime": entry.time.to_rfc3339_opts(SecondsFormat::Millis, true),
        "deliveries": entry.deliveries(to),
    }))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(Problem::internal)?.map_err(Problem::internal)
}

fn percent_encoded(name: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    name.bytes().map(encode).collect()
}

/// A request for a page of messages.
#[derive(Debug)]
struct Asked {
    filter: Filter,
    size: usize,
    /// The page begins before this entry.
    before: Option<u64>,
}

impl Asked {
    fn from_query(query: HashMap<String, String>) -> Result<Self, Problem> {
        let mut asked = Self { filter: Filter::default(), size: USUAL_PAGE, before: None };
        let mut token = String::new();
        for (field, value) in query {
            let given = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match field.as_str() {
                // A plus in a query means a space, which no address has, and a plus is what people write.
                "to" => asked.filter.to = given.map(|address| address.replace(' ', "+")),
                "query" => asked.filter.query = given,
                "pageSize" => {
                    let size: u32 = value
                        .parse()
                        .map_err(|_| Problem::bad_field("pageSize", "must be a whole number from 0"))?;
                    asked.size = match size as usize {
                        0 => USUAL_PAGE,
                        size => size.min(LONGEST_PAGE),
                    };
                }
                "pageToken" => token = value,
                _ => {
                    let known = "is not a parameter; there are to, query, pageSize, pageToken";
                    return Err(Problem::bad_field(&field, known));
                }
            }
        }
        if !token.is_empty() {
            let before = asked.read_token(&token).ok_or_else(|| {
                Problem::bad_field("pageToken", "is not from the answer to this query; begin without it")
            })?;
            asked.before = Some(before);
        }
        Ok(asked)
    }

    fn token(&self, before: u64) -> String {
        URL_SAFE_NO_PAD.encode([before.to_be_bytes().as_slice(), &self.mark()].concat())
    }

    fn read_token(&self, token: &str) -> Option<u64> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (before, mark) = bytes.split_first_chunk::<8>()?;
        (mark == self.mark()).then(|| u64::from_be_bytes(*before))
    }

    /// Ties a token to its query.
    fn mark(&self) -> [u8; 4] {
        crc32fast::hash(format!("{:?}", self.filter).as_bytes()).to_be_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &[(&str, &str)]) -> Result<Asked, Problem> {
        Asked::from_query(query.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn a_token_belongs_to_its_query() {
        let token = asked(&[("to", "a@b.c")]).unwrap().token(17);
        assert_eq!(asked(&[("to", "a@b.c"), ("pageToken", &token)]).unwrap().before, Some(17));
        for other in [&[("to", "x@b.c")][..], &[("query", "a@b.c")], &[]] {
            let query = [other, &[("pageToken", token.as_str())]].concat();
            assert!(asked(&query).is_err(), "{query:?}");
        }
        assert!(asked(&[("pageToken", "забор")]).is_err());
    }

    #[test]
    fn sizes_and_names_are_bounded() {
        assert_eq!(asked(&[("pageSize", "0")]).unwrap().size, USUAL_PAGE);
        assert_eq!(asked(&[("pageSize", "4000000")]).unwrap().size, LONGEST_PAGE);
        for wrong in ["-1", "x", "", "99999999999"] {
            assert!(asked(&[("pageSize", wrong)]).is_err(), "{wrong}");
        }
        assert!(asked(&[("page_size", "1")]).is_err());
        assert_eq!(asked(&[("to", "me shop@b.c")]).unwrap().filter.to.as_deref(), Some("me+shop@b.c"));
    }
}
