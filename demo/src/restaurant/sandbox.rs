//! The control side of the sandboxes: faults, and the ledgers of what really happened outside.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

/// A sandbox.
#[derive(Debug, Clone)]
pub struct Sandbox {
    http: reqwest::Client,
    url: String,
}

impl Sandbox {
    pub fn new(http: &reqwest::Client, url: &str) -> Self {
        Self { http: http.clone(), url: url.trim_end_matches('/').to_owned() }
    }

    /// What it is to do wrong from now on.
    pub async fn faults(&self, faults: &Value) -> anyhow::Result<()> {
        let answer = self.http.put(format!("{}/sandbox/faults", self.url)).json(faults).send().await?;
        answer.error_for_status().with_context(|| format!("{} takes no such faults", self.url))?;
        Ok(())
    }

    /// Nothing wrong any more.
    pub async fn mend(&self) -> anyhow::Result<()> {
        self.faults(&json!({})).await
    }

    /// The number of the last effect; 0 where there is none.
    pub async fn last(&self) -> anyhow::Result<u64> {
        Ok(self.ledger(0).await?.last().map_or(0, number))
    }

    /// The effects after this number.
    pub async fn ledger(&self, after: u64) -> anyhow::Result<Vec<Value>> {
        let url = format!("{}/sandbox/ledger?after={after}", self.url);
        let mut page: Value = self.http.get(url).send().await?.json().await?;
        match page["entries"].take() {
            Value::Array(entries) => Ok(entries),
            _ => Ok(Vec::new()),
        }
    }
}

/// Reads the SMS that guests' phones get.
#[derive(Debug, Clone, Default)]
pub struct Phones {
    texts: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

impl Phones {
    /// Follows the provider's ledger until the runtime ends.
    pub async fn follow(sms: Sandbox) -> anyhow::Result<Self> {
        let phones = Self::default();
        let mut seen = sms.last().await?;
        let following = phones.clone();
        tokio::spawn(async move {
            loop {
                for entry in sms.ledger(seen).await.unwrap_or_default() {
                    seen = number(&entry);
                    let digits: String = text(&entry, "phone").chars().filter(char::is_ascii_digit).collect();
                    let mut texts = following.texts.lock().unwrap_or_else(PoisonError::into_inner);
                    texts.entry(digits).or_default().push(text(&entry, "text").to_owned());
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
        Ok(phones)
    }

    /// The newest six digits that came to a phone.
    pub fn code(&self, phone: &str) -> Option<String> {
        let digits: String = phone.chars().filter(char::is_ascii_digit).collect();
        let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.get(&digits)?.iter().rev().find_map(|text| {
            text.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 6).map(str::to_owned)
        })
    }

    /// How many SMS came in all.
    pub fn count(&self) -> usize {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).values().map(Vec::len).sum()
    }
}

fn number(entry: &Value) -> u64 {
    entry["number"].as_u64().unwrap_or_default()
}

/// A text field of an effect.
pub fn text<'a>(entry: &'a Value, field: &str) -> &'a str {
    entry[field].as_str().unwrap_or_default()
}
