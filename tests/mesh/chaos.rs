//! Nothing lost, nothing doubled: processes are killed in turn while people order; afterwards the mail server's own
//! record has one e-mail for each change of each order.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::shop::Person;
use crate::support::{Mesh, eventually, unique};

const SHOPPERS: usize = 6;
const RECOVERY: Duration = Duration::from_secs(90);

/// What one shopper did: the numbers of the orders, and whether each was cancelled.
type Orders = BTreeMap<String, bool>;

#[tokio::test]
async fn killed_processes_lose_nothing_and_double_nothing() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Survivor "), 100, 1_000_000).await;
    let stop = AtomicBool::new(false);
    let mut people = Vec::new();
    for _ in 0..SHOPPERS {
        people.push(Person::register(&mesh, "en").await);
    }
    let shopping = join_all(people.iter().map(|person| shop(person, &product, &stop)));
    let killing = async {
        kill_in_turn(&mesh, &product).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (orders, ()) = tokio::join!(shopping, killing);

    let (mut changes, mut repeated) = (0, 0);
    for (person, orders) in people.iter().zip(orders) {
        let expected: BTreeMap<String, usize> =
            orders.iter().map(|(number, cancelled)| (number.clone(), 1 + usize::from(*cancelled))).collect();
        let wanted: usize = expected.values().sum();
        eventually(&format!("{wanted} e-mails"), RECOVERY, async || {
            (mesh.mails(&person.email).await.len() >= wanted).then_some(())
        })
        .await;
        assert_eq!(mentions(&mesh, &person.email).await, expected, "one e-mail for each change");
        changes += wanted;
        let mails = mesh.mails(&person.email).await;
        repeated += mails.iter().filter(|mail| mail["deliveries"].as_u64() > Some(1)).count();
    }
    assert!(changes > SHOPPERS * 10, "only {changes} changes: the load was no load");
    println!(
        "{changes} changes, one e-mail each; {repeated} were sent more than once and recognised by their Message-ID"
    );
}

/// Kills one process after the other, each when the mesh has recovered from the one before.
async fn kill_in_turn(mesh: &Mesh, product: &str) {
    for process in ["notify", "order", "persist", "rabbitmq", "notify"] {
        let before = mesh.pid(process).unwrap_or_else(|| {
            panic!("no process `{process}`: this test needs a process a service (`cargo xtask up --split`)")
        });
        mesh.kill(process);
        eventually(&format!("{process} to be started again"), RECOVERY, async || {
            mesh.pid(process).filter(|pid| *pid != before)
        })
        .await;
        // It works again when an order goes through from end to end.
        let probe = Person::register_when_possible(mesh).await;
        let (number, _) = place(&probe, product).await;
        eventually(&format!("an e-mail after {process} was killed"), RECOVERY, async || {
            mentions(mesh, &probe.email).await.get(&number).copied()
        })
        .await;
    }
}

/// Orders, and cancels every third order, until told to stop. What fails is sent again with the same key.
async fn shop(person: &Person, product: &str, stop: &AtomicBool) -> Orders {
    let mut orders = Orders::new();
    while !stop.load(Ordering::Relaxed) {
        let (number, id) = place(person, product).await;
        let cancelled = orders.len() % 3 == 2;
        if cancelled {
            insist(person, &format!("/api/v1/orders/{id}:cancel"), &json!({})).await;
        }
        orders.insert(number, cancelled);
    }
    orders
}

pub async fn place(person: &Person, product: &str) -> (String, String) {
    let body = json!({"items": [{"productId": product, "quantity": 1}], "idempotencyKey": unique("c")});
    let answer = insist(person, "/api/v1/orders", &body).await;
    let text = |key: &str| answer["order"][key].as_str().unwrap().to_owned();
    (text("number"), text("id"))
}

/// Sends it until it works; anything but trouble on the mesh's side is a failure.
pub async fn insist(person: &Person, path: &str, body: &Value) -> Value {
    eventually(path, RECOVERY, async || {
        let answer =
            person.mesh.try_send(reqwest::Method::POST, path, Some(&person.token), Some(body)).await.ok()?;
        if answer.status.is_server_error()
            || answer.status == 429
            || answer.status == 409 && answer.reason() == "ORDER_CONTENDED"
        {
            return None;
        }
        Some(answer.ok())
    })
    .await
}

impl Person {
    async fn register_when_possible(mesh: &Mesh) -> Self {
        let email = format!("{}@example.com", unique("probe"));
        let body = json!({"email": email, "password": crate::shop::PASSWORD, "displayName": "Probe", "locale": "en"});
        let answer = eventually("a registration", RECOVERY, async || {
            let answer = mesh
                .try_send(reqwest::Method::POST, "/api/v1/auth/register", None, Some(&body))
                .await
                .ok()?;
            match answer.status.as_u16() {
                200 => Some(answer.body),
                // An attempt that seemed to fail did not.
                409 => {
                    let login = json!({"email": email, "password": crate::shop::PASSWORD});
                    let answer = mesh
                        .try_send(reqwest::Method::POST, "/api/v1/auth/login", None, Some(&login))
                        .await
                        .ok()?;
                    answer.status.is_success().then_some(answer.body)
                }
                _ => None,
            }
        })
        .await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            mesh: mesh.clone(),
            token: text(&answer["accessToken"]),
            refresh_token: text(&answer["refreshToken"]),
            email,
        }
    }
}

/// How many of a person's e-mails name each order's number.
async fn mentions(mesh: &Mesh, address: &str) -> BTreeMap<String, usize> {
    let mut mentions = BTreeMap::new();
    for mail in mesh.mails(address).await {
        let text = format!("{} {}", mail["subject"], mail["text"]);
        let number = text
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
            .find(|word| word.starts_with("A-") && word.len() == 10);
        *mentions.entry(number.unwrap_or("none").to_owned()).or_default() += 1;
    }
    mentions
}
