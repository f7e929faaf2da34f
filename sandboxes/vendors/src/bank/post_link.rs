//! What the bank tells the merchant by itself: unsigned, until the merchant has taken it.

use std::time::Duration;

use serde_json::Value;

const TRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(super) struct PostLinks(Option<reqwest::Client>);

impl PostLinks {
    pub fn new() -> Self {
        // One of the two providers that the workspace builds has to be named; it may have been by somebody else.
        let _ = rustls::crypto::ring::default_provider().install_default();
        match reqwest::Client::builder().timeout(PATIENCE).build() {
            Ok(client) => Self(Some(client)),
            Err(error) => {
                tracing::error!(%error, "the bank will not tell merchants");
                Self(None)
            }
        }
    }

    /// Begins to tell, so often; no address, no telling.
    pub fn send(&self, address: &str, body: Value, times: u32) {
        let Some(client) = self.0.as_ref().filter(|_| !address.is_empty()) else { return };
        for _ in 0..times {
            tokio::spawn(tell(client.clone(), address.to_owned(), body.clone()));
        }
    }
}

async fn tell(client: reqwest::Client, address: String, body: Value) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..TRIES {
        let answer = client.post(&address).json(&body).send().await;
        match answer.and_then(reqwest::Response::error_for_status) {
            Ok(_) => return,
            Err(error) => tracing::debug!(%error, "the merchant does not take the post-link"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}
