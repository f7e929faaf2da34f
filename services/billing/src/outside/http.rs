//! HTTP, with the one distinction that matters: was the request certainly not worked on, or may it have been?

use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 1024 * 1024;

/// A client whose calls end in time.
#[derive(Clone)]
pub(crate) struct Http {
    client: reqwest::Client,
    within: Duration,
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    /// They have not worked on it, surely.
    #[error("{0}")]
    NotDone(String),
    /// They may have.
    #[error("{0}")]
    Unknown(String),
}

/// An answer, whatever it says.
pub(crate) struct Reply {
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Http {
    /// Calls take so long at most.
    pub fn new(within: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .connect_timeout(within)
            .redirect(redirect::Policy::none())
            .user_agent("artel")
            .build()
            .context("an HTTP client")?;
        Ok(Self { client, within })
    }

    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// When a call that begins now has to have ended.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.within
    }

    /// Sends once.
    pub async fn send(&self, request: RequestBuilder, deadline: Instant) -> Result<Reply, Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failed::NotDone("there was no time left to ask".to_owned()));
        }
        let response = request.timeout(left).send().await.map_err(|error| {
            // An address is no secret, but what stands in its query may be.
            let error = error.without_url();
            let unsent = error.is_connect() || error.is_builder();
            let text = chain(&error);
            if unsent { Failed::NotDone(text) } else { Failed::Unknown(text) }
        })?;
        let status = response.status();
        let retry_after = response.headers().contains_key(RETRY_AFTER);
        let body = read(response).await?;
        match status {
            // Refused at the door.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(Reply { status, body }),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                tracing::debug!(%status, retry_after, "turned away");
                Err(Failed::NotDone(format!("answered {status}")))
            }
            // Whoever gave up waiting for it does not know what it does.
            StatusCode::REQUEST_TIMEOUT => Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_server_error() => Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_redirection() || status.is_informational() => {
                Err(Failed::NotDone(format!("answered {status}: is the address right?")))
            }
            _ => Ok(Reply { status, body }),
        }
    }
}

impl Reply {
    /// What it says, where it says that at all.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Failed> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Failed::Unknown(format!("answered {} with what is not understood: {error}", self.status))
        })
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Failed> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LONGEST => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failed::Unknown("the answer is too long".to_owned())),
            Ok(None) => return Ok(body),
            Err(error) => return Err(Failed::Unknown(chain(&error.without_url()))),
        }
    }
}

/// The error with its causes: reqwest's own text names none.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
