//! Connections that break and a broker that dies: nothing is lost.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use artel_queue::{Event, Message, Outcome, Publisher};
use tokio::sync::Semaphore;

use crate::node::Node;
use crate::proxy::Proxy;
use crate::world::{Does, LIMIT, Seen, World, body, broker, eventually, keeps, made};

#[tokio::test]
async fn an_event_whose_listener_dies_is_handled_by_another() {
    let world = World::new();
    let proxy = Proxy::before(&world.url).await;
    let begun = Seen::<Message>::default();
    let stuck = {
        let begun = begun.clone();
        Does(move |message: Message| {
            begun.push(message);
            std::future::pending()
        })
    };
    let dying = world.listen_through(&broker(&proxy.url), world.subscription(), stuck).await;
    let event = made("one", "body");
    world.publisher().await.publish(std::slice::from_ref(&event)).await.unwrap();
    begun.reaches(1).await;
    let seen = Seen::<Message>::default();
    let living = world.listen(world.subscription(), keeps(&seen)).await;
    drop(dying);
    proxy.cut();
    let got = seen.reaches(1).await.remove(0);
    assert_eq!((got.event.id, got.redelivered), (event.id, true));
    drop(living);
    world.clean().await;
}

#[tokio::test]
async fn a_cut_connection_comes_back_and_a_repeated_event_waits_for_its_first_handling() {
    let world = World::new();
    let proxy = Proxy::before(&world.url).await;
    let (begun, gate) = (Seen::<Message>::default(), Arc::new(Semaphore::new(0)));
    let (running, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let handler = {
        let (begun, gate, running, most) = (begun.clone(), gate.clone(), running.clone(), most.clone());
        Does(move |message: Message| {
            let (begun, gate, running, most) = (begun.clone(), gate.clone(), running.clone(), most.clone());
            async move {
                begun.push(message);
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        })
    };
    let listener = world.listen_through(&broker(&proxy.url), world.subscription(), handler).await;
    let mut connected = listener.connected();
    let publisher = world.publisher().await;
    publisher.publish(&[made("one", "body")]).await.unwrap();
    begun.reaches(1).await;
    proxy.cut();
    tokio::time::timeout(LIMIT, connected.wait_for(|connected| !connected)).await.unwrap().unwrap();
    tokio::time::timeout(LIMIT, connected.wait_for(|connected| *connected)).await.unwrap().unwrap();
    // Another key's event shows that the new connection delivers, and so that the repeated one is in hand.
    publisher.publish(&[made("two", "body")]).await.unwrap();
    eventually("the other key is begun", async || {
        begun.all().iter().any(|message| message.event.key == "two")
    })
    .await;
    assert_eq!(
        begun.all().iter().filter(|message| message.event.key == "one").count(),
        1,
        "the first is still at it"
    );
    gate.add_permits(3);
    let all = begun.reaches(3).await;
    assert!(all[2].event.key == "one" && all[2].redelivered);
    assert_eq!(most.load(Ordering::SeqCst), 2, "one of each key at a time");
    listener.drain(LIMIT).await;
    world.clean().await;
}

#[tokio::test]
async fn a_publisher_says_what_is_open_when_the_broker_is_away() {
    // A port where nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let world = World::at(&format!("amqp://guest:guest@127.0.0.1:{port}/%2f"));
    let publisher = Publisher::connect(&world.broker, &world.topology);
    assert!(!*publisher.connected().borrow());
    let unfinished = publisher.publish(&[made("one", "a"), made("two", "b")]).await.unwrap_err();
    assert_eq!((unfinished.open(), unfinished.outcomes), (2, vec![None, None]));
}

/// Publishes until the broker has answered for everything, as persist's relay does.
async fn insist(publisher: &Publisher, mut batch: Vec<Event>) {
    loop {
        let outcomes = match publisher.publish(&batch).await {
            Ok(outcomes) => outcomes.into_iter().map(Some).collect(),
            Err(unfinished) => unfinished.outcomes,
        };
        assert!(!outcomes.contains(&Some(Outcome::Unroutable)), "the queue is durable");
        let mut open = outcomes.iter().map(Option::is_none);
        batch.retain(|_| open.next().unwrap());
        if batch.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_broker_killed_under_load_loses_nothing() {
    const EVENTS: usize = 6000;
    const KILL_AT: usize = 1500;
    let mut node = Node::start().await;
    let world = World::at(&node.url());
    let seen = Seen::<(String, String)>::default();
    let handler = {
        let seen = seen.clone();
        Does(move |message: Message| {
            seen.push((message.event.id.clone(), body(&message)));
            async { Ok(()) }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    let publisher = world.publisher().await;
    let events: Vec<Event> = (0..EVENTS).map(|n| made(&format!("key-{}", n % 100), &n.to_string())).collect();
    let published: HashSet<String> = events.iter().map(|event| event.id.clone()).collect();
    let load = tokio::spawn(async move {
        for part in events.chunks(25) {
            insist(&publisher, part.to_vec()).await;
        }
    });
    seen.reaches(KILL_AT).await;
    node.kill().await;
    let mut connected = listener.connected();
    tokio::time::timeout(LIMIT, connected.wait_for(|connected| !connected)).await.unwrap().unwrap();
    node.begin().await;
    tokio::time::timeout(4 * LIMIT, load).await.expect("all is published in the end").unwrap();
    let ids = || seen.all().into_iter().map(|(id, _)| id).collect::<HashSet<String>>();
    eventually("every event was handled", async || ids() == published).await;
    listener.drain(LIMIT).await;
    node.kill().await;
}
