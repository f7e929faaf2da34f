//! The board in the hall through Envoy: screens that come back miss nothing and see nothing twice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};

use crate::dining::{Guest, open_kitchen, staff};
use crate::support::{Mesh, eventually, unique};

/// What a screen has shown: each event with its position.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<(String, Value)>>>);

impl Screen {
    /// Follows the board, and comes back behind the last position where the connection is lost.
    async fn follow(self, mesh: Mesh) {
        let http = reqwest::Client::new();
        loop {
            let mut request = http.get(format!("{}/api/display/events", mesh.api));
            if let Some((position, _)) = self.0.lock().unwrap().last() {
                request = request.header("last-event-id", position);
            }
            if let Ok(answer) = request.send().await {
                self.read(answer).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn read(&self, answer: reqwest::Response) {
        let (mut bytes, mut text) = (answer.bytes_stream(), String::new());
        while let Some(Ok(piece)) = bytes.next().await {
            text.push_str(&String::from_utf8_lossy(&piece));
            while let Some(end) = text.find("\n\n") {
                let event: String = text.drain(..end + 2).collect();
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
                };
                let (Some(id), Some(data)) = (field("id"), field("data")) else { continue };
                self.0.lock().unwrap().push((id.to_owned(), serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// How a number moved, in order.
    fn moves(&self, number: u64) -> Vec<String> {
        let shown = self.0.lock().unwrap();
        let of = shown.iter().filter(|(_, data)| data["number"].as_u64() == Some(number));
        of.map(|(_, data)| data["status"].as_str().unwrap().to_lowercase()).collect()
    }
}

#[tokio::test]
async fn screens_see_each_move_once_also_over_a_restart_of_order_and_of_envoy() {
    let mesh = Mesh::get();
    open_kitchen(&mesh);
    let (staff, guest) = (staff(&mesh).await, Guest::new(&mesh).await);
    let screens: Vec<Screen> = (0..3).map(|_| Screen::default()).collect();
    let following: Vec<_> =
        screens.iter().map(|screen| tokio::spawn(screen.clone().follow(mesh.clone()))).collect();
    eventually("the board", Duration::from_secs(30), async || {
        screens.iter().all(|screen| !screen.0.lock().unwrap().is_empty()).then_some(())
    })
    .await;

    let mut numbers = Vec::new();
    for broken in ["", "order", "envoy", ""] {
        let order = guest.order(1).await;
        guest.pay(&order, 0, &unique("pay")).await.ok();
        if !broken.is_empty() {
            mesh.kill(broken);
        }
        eventually("the API to be back", Duration::from_secs(60), async || {
            let path = format!("/api/v1/orders/{}", order.id);
            let answer = mesh.try_send(reqwest::Method::GET, &path, Some(&guest.token), None).await.ok()?;
            (answer.body["order"]["status"] == "ORDER_STATUS_READY").then_some(())
        })
        .await;
        let path = format!("/api/v1/orders/{}:handOver", order.id);
        eventually("it to be handed over", Duration::from_secs(30), async || {
            let answer = mesh
                .try_send(reqwest::Method::POST, &path, Some(&staff.token), Some(&json!({})))
                .await
                .ok()?;
            answer.status.is_success().then_some(())
        })
        .await;
        numbers.push(order.number);
    }
    for screen in &screens {
        for number in &numbers {
            let moves = eventually("the last move", Duration::from_secs(30), async || {
                let moves = screen.moves(*number);
                moves.last().is_some_and(|last| last.contains("handed")).then_some(moves)
            })
            .await;
            assert_eq!(moves.len(), 3, "preparing, ready, handed over, once each: {moves:?}");
            assert!(moves[0].ends_with("preparing") && moves[1].ends_with("ready"), "{moves:?}");
        }
        let shown = screen.0.lock().unwrap();
        let mut positions: Vec<&String> = shown.iter().map(|(position, _)| position).collect();
        positions.sort_unstable();
        positions.dedup();
        assert_eq!(positions.len(), shown.len(), "no position twice");
    }
    following.iter().for_each(tokio::task::JoinHandle::abort);
}
