//! Where the plain bank is, and who we are to it.

use std::time::Duration;

use artel_config::Secret;
use artel_outside::{Failed, Http, Reply};
use reqwest::RequestBuilder;

use super::wire;
use crate::acquirer::settings::PlainSettings;

pub(super) struct Client {
    http: Http,
    url: String,
    api_key: Secret,
}

impl Client {
    pub fn new(settings: &PlainSettings, within: Duration) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(within)?, url: settings.url.clone(), api_key: settings.api_key.clone() })
    }

    pub async fn charge(&self, key: &str, body: &wire::NewCharge<'_>) -> Result<Reply, Failed> {
        let request = self.http.client().post(format!("{}/transactions", self.url));
        self.send(request.header("idempotency-key", key).json(body)).await
    }

    pub async fn find_charge(&self, key: &str) -> Result<Reply, Failed> {
        let request = self.http.client().get(format!("{}/transactions", self.url));
        self.send(request.query(&[("idempotencyKey", key)])).await
    }

    pub async fn refund(
        &self,
        transaction: &str,
        key: &str,
        body: &wire::NewRefund,
    ) -> Result<Reply, Failed> {
        let request = self.http.client().post(format!("{}/transactions/{transaction}/refunds", self.url));
        self.send(request.header("idempotency-key", key).json(body)).await
    }

    pub async fn find_refund(&self, transaction: &str, key: &str) -> Result<Reply, Failed> {
        let request = self.http.client().get(format!("{}/transactions/{transaction}/refunds", self.url));
        self.send(request.query(&[("idempotencyKey", key)])).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Reply, Failed> {
        self.http.send(request.bearer_auth(self.api_key.reveal())).await
    }
}
