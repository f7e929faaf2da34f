//! The board in the hall, as a screen follows it: server-sent events, resumed behind the last position seen.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc;

use super::api::Api;

/// What the board shows now.
#[derive(Debug, Clone, Default)]
pub struct Board {
    pub preparing: BTreeSet<u64>,
    pub ready: BTreeSet<u64>,
    /// Changes shown.
    pub changes: u64,
    /// How often the screen had to come back.
    pub reconnects: u64,
}

/// A screen in the hall.
#[derive(Debug, Clone, Default)]
pub struct Screen(Arc<Mutex<Board>>);

impl Screen {
    /// Follows the board until the runtime ends, and says which numbers are called.
    pub fn follow(api: &Api) -> (Self, mpsc::UnboundedReceiver<u64>) {
        let (called, calls) = mpsc::unbounded_channel();
        let (screen, api) = (Self::default(), api.clone());
        let following = screen.clone();
        // No time limit: it goes on for days.
        tokio::spawn(async move {
            let http = reqwest::Client::new();
            let mut position = String::new();
            loop {
                let mut request = http.get(format!("{}/api/display/events", api.url()));
                if !position.is_empty() {
                    request = request.header("last-event-id", &position);
                }
                if let Ok(answer) = request.send().await
                    && answer.status().is_success()
                {
                    following.read(answer, &mut position, &called).await;
                }
                following.lock().reconnects += 1;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        (screen, calls)
    }

    /// What it shows now.
    pub fn now(&self) -> Board {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(
        &self,
        answer: reqwest::Response,
        position: &mut String,
        called: &mpsc::UnboundedSender<u64>,
    ) {
        let (mut bytes, mut text) = (answer.bytes_stream(), String::new());
        while let Some(Ok(piece)) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&piece));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
                };
                if let Some(id) = field("id") {
                    id.clone_into(position);
                }
                let data = field("data").and_then(|data| serde_json::from_str::<Value>(data).ok());
                if let (Some(kind), Some(data)) = (field("event"), data) {
                    self.show(kind, &data, called);
                }
            }
        }
    }

    fn show(&self, kind: &str, data: &Value, called: &mpsc::UnboundedSender<u64>) {
        let mut board = self.lock();
        if kind == "board" {
            let numbers = |name: &str| -> BTreeSet<u64> {
                data[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
            };
            (board.preparing, board.ready) = (numbers("preparing"), numbers("ready"));
            for number in &board.ready {
                let _ = called.send(*number);
            }
            return;
        }
        let Some(number) = data["number"].as_u64() else { return };
        board.changes += 1;
        board.preparing.remove(&number);
        board.ready.remove(&number);
        match data["status"].as_str().unwrap_or_default().to_lowercase() {
            status if status.ends_with("preparing") => {
                board.preparing.insert(number);
            }
            status if status.ends_with("ready") => {
                board.ready.insert(number);
                let _ = called.send(number);
            }
            _ => {}
        }
    }
}
