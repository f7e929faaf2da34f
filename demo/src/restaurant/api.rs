//! The API as a client calls it: what may be asked again is asked again, with the same key.

use std::time::Duration;

use anyhow::bail;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

/// For how long a client tries before it gives up.
const PATIENCE: Duration = Duration::from_secs(90);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The API, as somebody.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: Option<String>,
}

/// A refusal that asking again does not change.
#[derive(Debug, Clone)]
pub struct Refused {
    pub reason: String,
    pub text: String,
}

impl Api {
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build()?;
        Ok(Self { http, url: url.to_owned(), token: None })
    }

    /// The same as whoever this token is of.
    pub fn signed_in(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A plain client, for what is not the API.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await?.map_err(|refused| refused.into_error(path))
    }

    /// Asks until there is an answer. What makes something must carry a key.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Result<Value, Refused>> {
        self.ask(Method::POST, path, Some(body)).await
    }

    /// As [`Api::post`], of what is not to be refused.
    pub async fn do_post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.post(path, body).await?.map_err(|refused| refused.into_error(path))
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Result<Value, Refused>> {
        let (begun, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let mut request = self.http.request(method.clone(), format!("{}{path}", self.url));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let why = match request.send().await {
                Ok(answer) => {
                    let status = answer.status();
                    match answer.json::<Value>().await {
                        Ok(value) if status.is_success() => return Ok(Ok(value)),
                        Ok(value) if !is_transient(status, &value) => return Ok(Err(Refused::read(&value))),
                        Ok(value) => format!("{status} {value}"),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > PATIENCE {
                bail!("{method} {path}: no answer in {PATIENCE:?}; last {why}");
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

/// Whether asking again may be answered otherwise.
fn is_transient(status: StatusCode, answer: &Value) -> bool {
    // The bank is away and the payment has ended: the guest decides whether to try another.
    let ended = Refused::read(answer).reason == "BANK_UNAVAILABLE";
    !ended && (status.is_server_error() || matches!(status.as_u16(), 409 | 429))
}

impl Refused {
    fn read(answer: &Value) -> Self {
        let details = answer["details"].as_array().map(Vec::as_slice).unwrap_or_default();
        let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or("UNKNOWN");
        let text = answer["message"].as_str().unwrap_or_default();
        Self { reason: reason.to_owned(), text: text.to_owned() }
    }

    fn into_error(self, path: &str) -> anyhow::Error {
        anyhow::anyhow!("{path}: {} {}", self.reason, self.text)
    }
}
