//! The little HTTP this crate needs: plain, on loopback, with a deadline.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use serde_json::Value;
use ureq::Agent;

/// An answer: its status and its text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.text).context("the answer is not JSON")
    }
}

/// A user name and a password.
pub type Login<'a> = Option<(&'a str, &'a str)>;

pub fn get(url: &str, login: Login<'_>, limit: Duration) -> Result<Answer> {
    let mut request = agent(limit).get(url);
    if let Some(value) = basic(login) {
        request = request.header("authorization", value);
    }
    read(request.call().with_context(|| format!("GET {url}"))?)
}

pub fn post(url: &str, limit: Duration) -> Result<Answer> {
    read(agent(limit).post(url).send_empty().with_context(|| format!("POST {url}"))?)
}

fn basic(login: Login<'_>) -> Option<String> {
    let (user, password) = login?;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    Some(format!("Basic {text}"))
}

fn agent(limit: Duration) -> Agent {
    // The machine's proxy must not come between us and loopback.
    Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).proxy(None).build().into()
}

fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Answer> {
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    Ok(Answer { status, text })
}
