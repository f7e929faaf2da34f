//! Browsers' screens over HTTP, two copies of `order`, and connections that are cut anywhere.

use std::collections::BTreeMap;

use artel_handle::Listener as _;
use artel_proto::order::Order;
use artel_repo::Repo;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::sync::watch;

use super::world::*;
use crate::dining::News;

/// A screen as a browser is one: it keeps the board, and the id of the last event.
#[derive(Default)]
struct Browser {
    last: String,
    board: BTreeMap<i64, String>,
    /// The positions of the changes, in the order in which they came.
    changes: Vec<i64>,
    wholes: usize,
}

/// A connection: the bytes that came and are no whole event yet.
struct Connection {
    answer: reqwest::Response,
    rest: String,
}

impl Connection {
    async fn open(http: &reqwest::Client, url: &str, last: &str) -> Self {
        let mut request = http.get(format!("{url}/api/display/events"));
        if !last.is_empty() {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, rest: String::new() }
    }

    /// The next event; `None` where the connection ended.
    async fn event(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.rest.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.rest = rest;
                return Some(event);
            }
            let more = tokio::time::timeout(DEADLINE, self.answer.chunk()).await.expect("nothing comes");
            self.rest.push_str(std::str::from_utf8(&more.ok()??).unwrap());
        }
    }
}

impl Browser {
    fn take(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let Some(data) = field("data:") else { return };
        let data: Value = serde_json::from_str(data).unwrap();
        self.last = field("id:").unwrap().to_owned();
        match field("event:").unwrap() {
            "board" => {
                self.wholes += 1;
                self.board.clear();
                for list in ["preparing", "ready"] {
                    let numbers = data[list].as_array().unwrap().iter();
                    self.board.extend(numbers.map(|number| (number.as_i64().unwrap(), list.to_owned())));
                }
            }
            "change" => {
                self.changes.push(self.last.parse().unwrap());
                let number = data["number"].as_i64().unwrap();
                match data["status"].as_str().unwrap() {
                    "ORDER_STATUS_PREPARING" => drop(self.board.insert(number, "preparing".to_owned())),
                    "ORDER_STATUS_READY" => drop(self.board.insert(number, "ready".to_owned())),
                    _ => drop(self.board.remove(&number)),
                }
            }
            other => panic!("an event called {other}"),
        }
    }

    /// Watches until it has seen the position, and is cut off after some events, again and again, each time to come back
    /// to either copy.
    async fn watch(
        &mut self,
        copies: &[String; 2],
        mut end: watch::Receiver<Option<i64>>,
        seed: u64,
        keeps: bool,
    ) {
        let (http, mut dice) = (reqwest::Client::new(), StdRng::seed_from_u64(seed));
        loop {
            // One that forgets where it was is the negative control.
            let last = if keeps { self.last.clone() } else { String::new() };
            let mut connection = Connection::open(&http, &copies[dice.random_range(0..2)], &last).await;
            for _ in 0..dice.random_range(1..12) {
                let event = tokio::select! {
                    event = connection.event() => event,
                    // So that it does not wait for what will not come.
                    _ = end.changed() => break,
                };
                let Some(event) = event else { break };
                self.take(&event);
                if *end.borrow() == Some(self.last.parse().unwrap()) {
                    return;
                }
            }
            if end.borrow().is_some_and(|end| Some(end) == self.last.parse().ok()) {
                return;
            }
        }
    }
}

/// Cooks the orders and hands most of them over, by two copies at once.
async fn evening(world: &World, orders: &[Order]) {
    let copies = [News::new(world.course()), News::new(world.course())];
    let courses = [world.course(), world.course()];
    let way = |(index, order): (usize, &Order)| {
        let (news, course) = (copies[index % 2].clone(), courses[index % 2].clone());
        let (delivery, order) = (world.delivery(), order.clone());
        let (again, call) = (world.delivery(), world.mesh.host("order").call());
        async move {
            news.hear(&delivery, preparing(&order)).await.unwrap();
            news.hear(&again, ready(&order)).await.unwrap();
            if index % 4 != 0 {
                course.hand_over(&call, &order.id).await.unwrap();
            }
        }
    };
    for some in orders.chunks(10) {
        futures::future::join_all(some.iter().enumerate().map(way)).await;
    }
}

/// Watches an evening through cuts; the browsers and how many moves there were.
async fn watched(keeps: bool) -> (Vec<Browser>, i64, World) {
    const ORDERS: i32 = 80;
    let world = World::start().await;
    let copies = [world.url.clone(), serve(&world.mesh).await];
    let orders = world.orders(ORDERS).await;
    let (end, seen) = watch::channel(None);
    let watching = (0..6_u64).map(|seed| {
        let (copies, seen) = (copies.clone(), seen.clone());
        async move {
            let mut browser = Browser::default();
            browser.watch(&copies, seen, seed, keeps).await;
            browser
        }
    });
    let cooking = async {
        evening(&world, &orders).await;
        let last = last(&world.repo(), &world).await;
        end.send_replace(Some(last));
        last
    };
    let all = async { tokio::join!(futures::future::join_all(watching), cooking) };
    let (browsers, last) = tokio::time::timeout(DEADLINE * 4, all).await.expect("the evening does not end");
    (browsers, last, world)
}

async fn last(repo: &Repo, world: &World) -> i64 {
    crate::board::Log::new(repo.clone()).last(&world.mesh.host("order").call()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let (browsers, last, world) = watched(true).await;
    let board: BTreeMap<i64, String> = {
        let asked = "SELECT board_number::bigint FROM orders WHERE status = 'ORDER_STATUS_READY'";
        let rows = world.database.superuser().await.unwrap().query(asked, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), "ready".to_owned())).collect()
    };
    assert_eq!((last, board.len()), (216, 24), "80 orders are cooked and ready, 56 of them taken");
    for browser in browsers {
        let first = browser.changes[0];
        assert_eq!(browser.changes, (first..=last).collect::<Vec<_>>());
        assert_eq!((browser.wholes, browser.board), (1, board.clone()));
    }
}

/// The negative control: one that comes back without its position has holes.
#[tokio::test(flavor = "multi_thread")]
async fn a_screen_that_forgets_its_position_misses_something() {
    let (browsers, last, _world) = watched(false).await;
    let whole = |browser: &Browser| {
        let first = browser.changes.first().copied().unwrap_or(last);
        browser.changes == (first..=last).collect::<Vec<_>>()
    };
    assert!(browsers.iter().any(|browser| !whole(browser)), "nobody missed anything");
}

#[tokio::test]
async fn a_position_comes_in_the_address_or_the_header_and_what_is_none_is_refused() {
    let world = World::start().await;
    let orders = world.orders(3).await;
    for order in &orders {
        world.deliver(preparing(order)).await.unwrap();
    }
    let http = reqwest::Client::new();
    let url = format!("{}/api/display/events", world.url);
    let after = |position: &str| format!("{url}?position={position}");
    let first = |request: reqwest::RequestBuilder| async {
        let mut connection = Connection { answer: request.send().await.unwrap(), rest: String::new() };
        connection.event().await.unwrap()
    };
    assert!(first(http.get(after("2"))).await.starts_with("id: 3\nevent: change\n"));
    // The address is what the page was opened with; the header is where the browser is by now.
    let both = http.get(after("0")).header("last-event-id", "1");
    assert!(first(both).await.starts_with("id: 2\nevent: change\n"));
    assert!(first(http.get(&url)).await.starts_with("id: 3\nevent: board\n"));
    let wrong = http.get(after("yesterday")).send().await.unwrap();
    assert_eq!(wrong.status(), 400);
    let body: Value = serde_json::from_str(&wrong.text().await.unwrap()).unwrap();
    assert_eq!(body["details"][1]["fieldViolations"][0]["field"], "position");
}

#[tokio::test]
async fn more_screens_than_are_served_are_told_to_come_later() {
    let world = World::with("[order.board]\nmax_screens = 1").await;
    let http = reqwest::Client::new();
    let mut one = Connection::open(&http, &world.url, "").await;
    assert!(one.event().await.unwrap().starts_with("id: 0\nevent: board"));
    let url = format!("{}/api/display/events", world.url);
    let more = http.get(&url).send().await.unwrap();
    assert_eq!((more.status().as_u16(), more.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    drop(one);
    // The place is free when the server has noticed.
    let again = async {
        while http.get(&url).send().await.unwrap().status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, again).await.expect("the place is not free again");
}
