use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A client of one address.
pub struct Client {
    http: reqwest::Client,
    url: String,
}

impl Client {
    pub fn of(url: String) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::builder().timeout(PATIENCE).build().unwrap(), url }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.http.request(method.parse::<Method>().unwrap(), format!("{}{path}", self.url))
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.request("POST", path).json(body)).await
    }

    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, Value) {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.request("POST", path).header("content-type", "application/x-www-form-urlencoded");
        answer(request.body(form)).await
    }
}

pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks until the answer is there.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} never happens");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
