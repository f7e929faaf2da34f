//! The robot line over HTTP.

use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;
use reqwest::{Client, RequestBuilder, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;

use super::wire::{Job, JobPage, NewJob};
use super::{Changes, Order, Progress, RobotLine, Trouble};
use crate::settings::Settings;

/// Changes asked for at once.
const PAGE: usize = 200;
/// The longest text of a refusal that is kept, in characters.
const LONGEST: usize = 300;

/// A robot line.
pub(crate) struct HttpLine {
    client: Client,
    url: String,
    within: Duration,
}

impl HttpLine {
    /// Does not connect yet.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let within = settings.line_within();
        let client = Client::builder()
            .connect_timeout(within)
            .redirect(redirect::Policy::none())
            .user_agent("artel")
            .build()
            .context("an HTTP client")?;
        Ok(Self { client, url: settings.line_url.clone(), within })
    }

    async fn send(&self, request: RequestBuilder, within: Duration) -> Result<Response, Trouble> {
        let answer = request.timeout(within).send().await.map_err(away)?;
        let status = answer.status();
        // One that answers while it is away, or while it has too much to do, takes the same a moment later.
        let is_away = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        if is_away { Err(Trouble::Away(format!("answered {status}"))) } else { Ok(answer) }
    }
}

#[async_trait]
impl RobotLine for HttpLine {
    async fn cook(&self, order: &Order) -> Result<Progress, Trouble> {
        let request = self.client.post(format!("{}/v1/jobs", self.url)).json(&NewJob::from(order));
        let answer = self.send(request, self.within).await?;
        // It has the order, by the recipes of another moment.
        if answer.status() == StatusCode::CONFLICT
            && let Some(known) = self.find(&order.id).await?
        {
            return Ok(known);
        }
        Ok(read::<Job>(answer).await?.into())
    }

    async fn find(&self, id: &str) -> Result<Option<Progress>, Trouble> {
        let answer = self.send(self.client.get(format!("{}/v1/jobs/{id}", self.url)), self.within).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        Ok(Some(read::<Job>(answer).await?.into()))
    }

    async fn restart(&self, id: &str) -> Result<Progress, Trouble> {
        let request = self.client.post(format!("{}/v1/jobs/{id}/restart", self.url));
        Ok(read::<Job>(self.send(request, self.within).await?).await?.into())
    }

    async fn changes(&self, after: u64, wait: Duration) -> Result<Changes, Trouble> {
        let request = self.client.get(format!("{}/v1/jobs", self.url)).query(&[
            ("changedAfter", after.to_string()),
            ("waitSeconds", wait.as_secs().to_string()),
            ("limit", PAGE.to_string()),
        ]);
        let page: JobPage = read(self.send(request, wait + self.within).await?).await?;
        Ok(Changes { jobs: page.jobs.into_iter().map(Progress::from).collect(), cursor: page.cursor })
    }
}

async fn read<T: DeserializeOwned>(answer: Response) -> Result<T, Trouble> {
    let status = answer.status();
    if status.is_success() {
        return answer.json().await.map_err(away);
    }
    let text: String = answer.text().await.unwrap_or_default().chars().take(LONGEST).collect();
    Err(Trouble::Refused(format!("{status} {}", text.trim())))
}

fn away(error: reqwest::Error) -> Trouble {
    Trouble::Away(chain(&error.without_url()))
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
