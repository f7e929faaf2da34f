//! HTTP to providers, with the one distinction that matters: was the request certainly not worked on, or may it have been?

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde::de::DeserializeOwned;

/// The longest answer that is read, in bytes.
const LONGEST: usize = 256 * 1024;

/// A client whose requests end in time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Http {
    pub client: reqwest::Client,
    within: Duration,
}

/// Why there is no answer to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failed {
    /// They have not worked on it, surely.
    NotDone(String),
    /// They may have.
    Unknown(String),
}

impl Failed {
    /// Why, for where the distinction does not matter.
    pub fn text(self) -> String {
        match self {
            Self::NotDone(text) | Self::Unknown(text) => text,
        }
    }
}

/// An answer, whatever it says.
pub(crate) struct Reply {
    pub status: StatusCode,
    body: Vec<u8>,
}

impl Http {
    /// Each request may take so long.
    pub fn new(within: Duration) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .user_agent("artel")
            .build()
            .context("an HTTP client")?;
        Ok(Self { client, within })
    }

    /// Sends once.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply, Failed> {
        let response = request.timeout(self.within).send().await.map_err(|error| {
            // An address is no secret, but what stands in its query may be.
            let error = error.without_url();
            let unsent = error.is_connect() || error.is_builder();
            if unsent { Failed::NotDone(chain(&error)) } else { Failed::Unknown(chain(&error)) }
        })?;
        let status = response.status();
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                return Err(Failed::NotDone(format!("answered {status}")));
            }
            StatusCode::REQUEST_TIMEOUT => return Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_server_error() => return Err(Failed::Unknown(format!("answered {status}"))),
            _ if status.is_redirection() => {
                return Err(Failed::NotDone(format!("answered {status}: is the address right?")));
            }
            _ => {}
        }
        Ok(Reply { status, body: read(response).await? })
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

async fn read(mut response: reqwest::Response) -> Result<Vec<u8>, Failed> {
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
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
