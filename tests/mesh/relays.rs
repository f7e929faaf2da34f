//! Two copies of `persist` relay at once: the broker gets every event once and in order, and all of them when one dies.

use std::collections::BTreeMap;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};

use artel_discovery::Consul;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::chaos::{insist, place};
use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

const SHOPPERS: usize = 8;
const SHARDS: i64 = 16;

/// Another copy of persist, killed with the test whatever happens.
struct Copy(Child);

impl Copy {
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A queue of the test's own that gets all that is told of orders.
struct Tap<'a> {
    mesh: &'a Mesh,
    name: String,
}

impl<'a> Tap<'a> {
    async fn open(mesh: &'a Mesh) -> Self {
        let tap = Self { mesh, name: unique("tap") };
        let queue = format!("queues/%2F/{}", tap.name);
        tap.ask(reqwest::Method::PUT, &queue, &json!({"durable": true})).await;
        let binding = format!("bindings/%2F/e/artel.events/q/{}", tap.name);
        tap.ask(reqwest::Method::POST, &binding, &json!({"routing_key": "order.*"})).await;
        tap
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/{path}", self.mesh.place("rabbitmqManagement"));
        let answer = self.mesh.http.request(method, url).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = answer.text().await.unwrap();
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// What has come since the last time: of each order, the ids and names of its events in the order in which they came.
    async fn take(&self, into: &mut BTreeMap<String, Vec<(String, String)>>) {
        let path = format!("queues/%2F/{}/get", self.name);
        let body = json!({"count": 1_000, "ackmode": "ack_requeue_false", "encoding": "base64"});
        for message in self.ask(reqwest::Method::POST, &path, &body).await.as_array().unwrap() {
            let properties = &message["properties"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let event = (text(&properties["message_id"]), text(&message["routing_key"]));
            into.entry(text(&properties["headers"]["x-artel-key"])).or_default().push(event);
        }
    }

    async fn close(self) {
        self.ask(reqwest::Method::DELETE, &format!("queues/%2F/{}", self.name), &json!({})).await;
    }
}

/// How many shards each copy of persist says it relays.
async fn shards(mesh: &Mesh) -> Vec<i64> {
    let consul = Consul::new(mesh.place("consul")).unwrap();
    let mut shards = Vec::new();
    for copy in consul.instances("persist").await.unwrap_or_default() {
        let Ok(answer) = mesh.http.get(format!("http://{}/metrics", copy.address)).send().await else {
            continue;
        };
        let text = answer.text().await.unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("artel_persist_relay_shards"));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default();
        shards.push(value as i64);
    }
    shards.sort_unstable();
    shards
}

/// Orders, and cancels every second order, until told to stop.
async fn shop(person: &Person, product: &str, stop: &AtomicBool) -> BTreeMap<String, Vec<&'static str>> {
    let mut told = BTreeMap::new();
    while !stop.load(Ordering::Relaxed) {
        let (_, id) = place(person, product).await;
        let mut events = vec!["order.placed"];
        if told.len() % 2 == 1 {
            insist(person, &format!("/api/v1/orders/{id}:cancel"), &json!({})).await;
            events.push("order.cancelled");
        }
        told.insert(id, events);
    }
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_relay_at_once_and_one_takes_over_from_another() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Relayed "), 100, 1_000_000).await;
    let mut people = Vec::new();
    for _ in 0..SHOPPERS {
        people.push(Person::register(&mesh, "en").await);
    }
    let before = mesh.healthy("persist").await;
    let tap = Tap::open(&mesh).await;
    let mut copy = Copy(
        Command::new(env!("CARGO_BIN_EXE_artel"))
            .args(["serve", "persist"])
            .env("ARTEL_CONFIG", mesh.place("config"))
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap(),
    );
    let copies = i64::try_from(before + 1).unwrap();
    eventually("the new copy to have its share", PATIENCE, async || {
        let shards = shards(&mesh).await;
        let fair = shards.iter().all(|count| (SHARDS / copies..=SHARDS / copies + 1).contains(count));
        (shards.len() == before + 1 && fair && shards.iter().sum::<i64>() == SHARDS).then_some(())
    })
    .await;

    for dies in [false, true] {
        let (stop, mut came) = (AtomicBool::new(false), BTreeMap::new());
        let shopping = join_all(people.iter().map(|person| shop(person, &product, &stop)));
        let watching = async {
            eventually("events", PATIENCE, async || {
                tap.take(&mut came).await;
                (came.len() > 100).then_some(())
            })
            .await;
            if dies {
                copy.kill();
                eventually("the other to take over", PATIENCE, async || {
                    (shards(&mesh).await.iter().sum::<i64>() == SHARDS).then_some(())
                })
                .await;
                let seen = came.len();
                eventually("events of what was taken over", PATIENCE, async || {
                    tap.take(&mut came).await;
                    (came.len() > seen + 100).then_some(())
                })
                .await;
            }
            stop.store(true, Ordering::Relaxed);
        };
        let (told, ()) = tokio::join!(shopping, watching);
        let told: BTreeMap<String, Vec<&'static str>> = told.into_iter().flatten().collect();
        eventually("every event at the broker", PATIENCE, async || {
            tap.take(&mut came).await;
            let all = told.iter().all(|(order, events)| {
                came.get(order)
                    .is_some_and(|came| came.iter().any(|(_, name)| Some(&name.as_str()) == events.last()))
            });
            all.then_some(())
        })
        .await;
        // What came twice lies before what is told from now on.
        let (done, seen) = (AtomicBool::new(false), came.len());
        let shopping = join_all(people.iter().map(|person| shop(person, &product, &done)));
        let watching = async {
            eventually("events told later", PATIENCE, async || {
                tap.take(&mut came).await;
                (came.len() > seen + 100).then_some(())
            })
            .await;
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(shopping, watching);
        let mut repeated = 0;
        for (order, events) in &told {
            let mut first = Vec::new();
            let mut seen = std::collections::HashSet::new();
            for (id, name) in &came[order] {
                if seen.insert(id) {
                    first.push(name.as_str());
                } else {
                    repeated += 1;
                }
            }
            assert_eq!(first, *events, "the events of order {order}");
        }
        // Who dies may leave a batch behind that it published without noting it.
        assert!(dies || repeated == 0, "{repeated} events came twice");
        println!("{} orders; {repeated} events came twice", told.len());
    }
    tap.close().await;
}
