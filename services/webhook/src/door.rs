//! `/webhooks/{source}`: takes what comes, keeps it, and answers.

use std::sync::Arc;

use artel_client::{Call, Trace};
use artel_handle::Live;
use artel_repo::{Commit, Repo};
use artel_util::Error;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tonic::Code;

use crate::answer;
use crate::domain::{self, Incoming, Kept};
use crate::settings::{Settings, Source};

/// What it takes to keep a request.
pub(crate) struct Door {
    repo: Repo,
    settings: Live<Settings>,
    /// The service's own call.
    call: Call,
    under_way: Semaphore,
}

/// The path that everybody outside may call.
pub(crate) fn router(door: Arc<Door>) -> Router {
    Router::new().route("/webhooks/{source}", any(take)).with_state(door)
}

impl Door {
    pub fn new(repo: Repo, settings: Live<Settings>, call: Call) -> Self {
        let under_way = Semaphore::new(settings.get().max_under_way);
        Self { repo, settings, call, under_way }
    }

    async fn take(&self, name: &str, request: Request) -> Result<(), Refusal> {
        let settings = self.settings.get();
        let Some(source) = settings.source(name) else {
            // Not by its name: anybody may make names up, and each would be a series of its own.
            count("unknown", "refused");
            let text =
                format!("Nobody waits for webhooks of `{}`.", name.chars().take(40).collect::<String>());
            return Err(Error::not_found("SOURCE_NOT_FOUND", text).into());
        };
        let outcome = self.keep(name, &source, &settings, request).await;
        count(
            name,
            match &outcome {
                Ok(true) => "repeated",
                Ok(false) => "kept",
                Err(refusal) if refusal.status.is_client_error() => "refused",
                Err(_) => "failed",
            },
        );
        outcome.map(drop)
    }

    /// True where it was kept before.
    async fn keep(
        &self,
        name: &str,
        source: &Source,
        settings: &Settings,
        request: Request,
    ) -> Result<bool, Refusal> {
        let (head, body) = request.into_parts();
        if !matches!(head.method, Method::POST | Method::PUT | Method::GET) {
            return Err(Refusal {
                status: StatusCode::METHOD_NOT_ALLOWED,
                error: Error::new(Code::Unimplemented, "METHOD_NOT_ALLOWED", "Send with POST, PUT or GET."),
            });
        }
        // What is under way is held in memory: what comes beyond that is told so before it is read.
        let Ok(_slot) = self.under_way.try_acquire() else {
            return Err(
                Error::unavailable("BUSY", "Too much comes in at once. Send it again in a moment.").into()
            );
        };
        let body = timeout(settings.body_timeout(), read(&head.headers, body, settings.max_body_bytes)).await;
        let body = body.map_err(|_| Refusal {
            status: StatusCode::REQUEST_TIMEOUT,
            error: Error::new(
                Code::DeadlineExceeded,
                "BODY_TIMEOUT",
                "The body did not come in time. Send it again.",
            ),
        })??;
        let incoming = Incoming {
            source: name.to_owned(),
            method: head.method.to_string(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            headers: head.headers,
            body,
        };
        let call = self.call(&incoming.headers, settings);
        let kept = domain::kept(incoming, source, settings);
        let key = domain::once_key(&kept);
        let Kept { webhook, content, event } = kept;
        // Even what is no repetition of anything has a key, so that it may be sent to `persist` again.
        let key = key.unwrap_or_else(|| format!("webhook/{}", webhook.id));
        // The key is a digest already.
        let digest = Bytes::from_static(b"webhook");
        let commit = Commit::new().insert(&webhook).insert(&content).publish(&event).once(
            key,
            digest,
            webhook.id.clone(),
        );
        let committed = self.repo.commit(&call, commit).await?;
        tracing::info!(
            source = name,
            id = %String::from_utf8_lossy(&committed.answer),
            size = webhook.size,
            repeated = committed.replayed,
            "webhook"
        );
        Ok(committed.replayed)
    }

    fn call(&self, headers: &HeaderMap, settings: &Settings) -> Call {
        let mut call = self.call.clone();
        let given = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(Trace::parse);
        call.trace = given.map_or_else(Trace::start, Trace::child);
        call.deadline = Some((Instant::now() + settings.keep_timeout()).into_std());
        call
    }
}

async fn take(State(door): State<Arc<Door>>, Path(source): Path<String>, request: Request) -> Response {
    match door.take(&source, request).await {
        Ok(()) => answer::taken(),
        Err(refusal) => answer::refused(refusal),
    }
}

/// The body, byte for byte, where it is no larger than `most`.
async fn read(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Refusal> {
    let too_large = || Refusal {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        error: Error::new(
            Code::ResourceExhausted,
            "REQUEST_TOO_LARGE",
            format!("The body is larger than {most} bytes."),
        ),
    };
    let said =
        headers.get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if said.is_some_and(|length: usize| length > most) {
        return Err(too_large());
    }
    match Limited::new(body, most).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Refusal {
            status: StatusCode::BAD_REQUEST,
            error: Error::new(
                Code::InvalidArgument,
                "BODY_BROKEN",
                "The body ended before its end. Send it again.",
            )
            .caused_by(error),
        }),
    }
}

fn count(source: &str, outcome: &'static str) {
    metrics::counter!("artel_webhooks_total", "source" => source.to_owned(), "outcome" => outcome)
        .increment(1);
}

/// Why a request is not kept.
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub error: Error,
}

impl From<Error> for Refusal {
    /// Whatever is wrong on our side, the sender is to come again.
    fn from(error: Error) -> Self {
        let status = match error.code() {
            Code::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self { status, error }
    }
}
