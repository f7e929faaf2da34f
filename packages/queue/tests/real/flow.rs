//! The ordinary way of an event.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use artel_queue::{Event, Lines, Message, Outcome, Publisher};
use chrono::{TimeDelta, Utc};

use crate::world::{Does, LIMIT, SERVICE, Seen, World, body, eventually, keeps, made};

#[tokio::test]
async fn an_event_arrives_as_it_was_sent() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let listener = world.listen(world.subscription(), keeps(&seen)).await;
    let publisher = world.publisher().await;
    let sent = Event {
        trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        expire: Some(Utc::now() + TimeDelta::hours(1)),
        ..made("one", "hello")
    };
    assert_eq!(publisher.publish(std::slice::from_ref(&sent)).await.unwrap(), [Outcome::Confirmed]);
    let got = seen.reaches(1).await.remove(0);
    assert_eq!(
        (
            &got.event.id,
            &got.event.name,
            &got.event.message_type,
            &got.event.key,
            &got.event.workspace,
            &got.event.trace,
            &got.event.body
        ),
        (&sent.id, &sent.name, &sent.message_type, &sent.key, &sent.workspace, &sent.trace, &sent.body)
    );
    assert_eq!((got.event.actor_user, got.event.actor_service), (sent.actor_user, sent.actor_service));
    assert_eq!((got.event.time, got.attempt, got.redelivered), (sent.time, 1, false));
    assert_eq!(got.event.expire.map(|at| at.timestamp_millis()), sent.expire.map(|at| at.timestamp_millis()));
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn what_nobody_listens_to_is_told_from_what_is_confirmed() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let listener = world.listen(world.subscription(), keeps(&seen)).await;
    let publisher = world.publisher().await;
    // More than a window, and every third one has no queue.
    let batch: Vec<Event> = (0..3000)
        .map(|n| {
            let event = made(&format!("key-{}", n % 50), &n.to_string());
            if n % 3 == 0 { Event { name: "thing.ignored".to_owned(), ..event } } else { event }
        })
        .collect();
    let outcomes = publisher.publish(&batch).await.unwrap();
    for (event, outcome) in batch.iter().zip(outcomes) {
        let expected = if event.name == "thing.ignored" { Outcome::Unroutable } else { Outcome::Confirmed };
        assert_eq!(outcome, expected, "{}", event.name);
    }
    seen.reaches(2000).await;
    assert!(publisher.publish(&[]).await.unwrap().is_empty());
    drop(listener);
    world.clean().await;
}

/// RabbitMQ confirms batches together, and lapin hands what was returned out with any of them.
#[tokio::test]
async fn batches_side_by_side_are_each_told_what_became_of_their_own() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let listener = world.listen(world.subscription(), keeps(&seen)).await;
    let publisher = world.publisher().await;
    let batches = (0..12).map(|batch| {
        let publisher = publisher.clone();
        async move {
            let events: Vec<Event> = (0..300)
                .map(|n| {
                    let event = made(&format!("{batch}-{n}"), "");
                    let is_ignored = (n + batch) % (batch + 2) == 0;
                    if is_ignored { Event { name: "thing.ignored".to_owned(), ..event } } else { event }
                })
                .collect();
            let outcomes = publisher.publish(&events).await.unwrap();
            let wrong = events.iter().zip(outcomes).filter(|(event, outcome)| {
                (event.name == "thing.ignored") != (*outcome == Outcome::Unroutable)
            });
            wrong.count()
        }
    });
    assert_eq!(futures::future::join_all(batches).await, [0; 12]);
    drop(listener);
    world.clean().await;
}

/// Beside a long replay, one event after another is published on the only channel that there is for them.
#[tokio::test]
async fn what_is_sent_again_does_not_hold_up_what_happens_now() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let listener = world.listen(world.subscription(), keeps(&seen)).await;
    let publisher = Publisher::with(&world.broker, &world.topology, Lines { channels: 1, window: 50 });
    publisher.ready(LIMIT).await.unwrap();
    let again: Vec<Event> = (0..6_000).map(|n| made(&n.to_string(), "again")).collect();
    let mut resending = std::pin::pin!(publisher.resend(SERVICE, &again));
    let mut live = std::pin::pin!(async {
        for n in 0..3 {
            publisher.publish(&[made(&n.to_string(), "now")]).await.unwrap();
        }
    });
    tokio::select! {
        biased;
        _ = &mut resending => panic!("what happened now waited for all that was sent again"),
        () = &mut live => {}
    }
    assert_eq!(resending.await.unwrap().len(), 6_000);
    seen.reaches(6_003).await;
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn events_of_a_key_keep_their_order_while_keys_run_side_by_side() {
    const KEYS: usize = 20;
    const EACH: usize = 40;
    let world = World::new();
    let order: Arc<Mutex<HashMap<String, Vec<usize>>>> = Arc::default();
    let (busy, running, most) = (
        Arc::<Mutex<HashSet<String>>>::default(),
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicUsize>::default(),
    );
    let handler = {
        let (order, busy, running, most) = (order.clone(), busy.clone(), running.clone(), most.clone());
        Does(move |message: Message| {
            let (order, busy, running, most) = (order.clone(), busy.clone(), running.clone(), most.clone());
            async move {
                let alone = busy.lock().unwrap().insert(message.event.key.clone());
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..(message.event.key.len() * 7 + message.event.body.len()) % 23 {
                    tokio::task::yield_now().await;
                }
                let number = body(&message).parse().unwrap();
                order.lock().unwrap().entry(message.event.key.clone()).or_default().push(number);
                running.fetch_sub(1, Ordering::SeqCst);
                busy.lock().unwrap().remove(&message.event.key);
                assert!(alone, "two events of {} at once", message.event.key);
                Ok(())
            }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    let publisher = world.publisher().await;
    let batch: Vec<Event> =
        (0..KEYS * EACH).map(|n| made(&format!("key-{}", n % KEYS), &(n / KEYS).to_string())).collect();
    for part in batch.chunks(100) {
        publisher.publish(part).await.unwrap();
    }
    eventually("all handled", async || {
        order.lock().unwrap().values().map(Vec::len).sum::<usize>() >= KEYS * EACH
    })
    .await;
    for (key, numbers) in order.lock().unwrap().iter() {
        assert_eq!(*numbers, (0..EACH).collect::<Vec<_>>(), "{key}");
    }
    assert!(most.load(Ordering::SeqCst) > 1, "keys must not wait for each other");
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn an_event_past_its_deadline_is_dropped() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let listener = world.listen(world.subscription(), keeps(&seen)).await;
    let publisher = world.publisher().await;
    let late = Event { expire: Some(Utc::now() - TimeDelta::milliseconds(1)), ..made("same", "late") };
    publisher.publish(&[late, made("same", "timely")]).await.unwrap();
    let got = seen.reaches(1).await;
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["timely"]);
    drop(listener);
    world.clean().await;
}
