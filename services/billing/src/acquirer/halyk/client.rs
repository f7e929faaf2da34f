//! Where Halyk Epay is, who we are to it, and its tokens: one for each payment, one for all else.

use std::time::{Duration, Instant};

use artel_config::Secret;
use artel_outside::{Failed, Http, Issued, Reply, Tokens};
use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Number;

use super::wire;
use crate::acquirer::settings::HalykSettings;
use crate::acquirer::{Charge, GiveBack};

const SCOPE: &str = "webapi usermanagement email_send verification statement statistics payment";

pub(super) struct Client {
    http: Http,
    settings: HalykSettings,
    tokens: Tokens,
}

impl Client {
    pub fn new(settings: &HalykSettings, within: Duration) -> anyhow::Result<Self> {
        Ok(Self { http: Http::new(within)?, settings: settings.clone(), tokens: Tokens::default() })
    }

    pub fn deadline(&self) -> Instant {
        self.http.deadline()
    }

    /// Pays with a token that is good for this payment only.
    pub async fn pay(
        &self,
        charge: &Charge,
        invoice: &str,
        amount: &Number,
        deadline: Instant,
    ) -> Result<Reply, Failed> {
        let sum = amount.to_string();
        let payment = [("invoiceID", invoice), ("amount", &sum), ("currency", &charge.currency)];
        let issued = self.issue(&payment, deadline).await.map_err(|failed| {
            // The payment itself was not sent.
            Failed::NotDone(format!("no access token: {failed}"))
        })?;
        let body = wire::Payment::of(charge, invoice, amount, &self.settings);
        let request = self.http.client().post(format!("{}/payments/cards/auth", self.settings.url));
        self.http.send_by(request.bearer_auth(issued.token.reveal()).json(&body), deadline).await
    }

    pub async fn status(&self, invoice: &str, deadline: Instant) -> Result<Reply, Failed> {
        let url = format!("{}/check-status/payment/transaction/{invoice}", self.settings.url);
        self.authorized(deadline, || self.http.client().get(&url)).await
    }

    pub async fn refund(
        &self,
        refund: &GiveBack,
        amount: &Number,
        deadline: Instant,
    ) -> Result<Reply, Failed> {
        let url = format!("{}/operation/{}/refund", self.settings.url, refund.transaction_id);
        let query = [("amount", amount.to_string()), ("externalID", refund.key.clone())];
        self.authorized(deadline, || self.http.client().post(&url).query(&query)).await
    }

    /// Sends with the common token; once more with a new one where they don't take the old.
    async fn authorized(
        &self,
        deadline: Instant,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Reply, Failed> {
        let token = self.tokens.get(self.issue(&[], deadline)).await?;
        let reply = self.http.send_by(request().bearer_auth(token.reveal()), deadline).await?;
        if reply.status != StatusCode::UNAUTHORIZED {
            return Ok(reply);
        }
        self.tokens.drop(&token).await;
        let token = self.tokens.get(self.issue(&[], deadline)).await?;
        self.http.send_by(request().bearer_auth(token.reveal()), deadline).await
    }

    async fn issue(&self, payment: &[(&str, &str)], deadline: Instant) -> Result<Issued, Failed> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", SCOPE)
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("client_secret", self.settings.client_secret.reveal())
            .append_pair("terminal", &self.settings.terminal)
            .extend_pairs(payment)
            .finish();
        let request = self.http.client().post(&self.settings.token_url);
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let reply = self.http.send_by(request, deadline).await?;
        if !reply.status.is_success() {
            return Err(Failed::NotDone(format!("answered {}", reply.status)));
        }
        let grant: wire::Grant = reply.read()?;
        let lasts = grant.expires_in.to_string().parse().unwrap_or_default();
        Ok(Issued { token: Secret::new(grant.access_token), lasts: Duration::from_secs(lasts) })
    }
}
