//! Handlers that fail, and messages that nobody can handle.

use std::time::Duration;

use artel_queue::{DeadLetters, Failure, Message, Outcome, Subscription};
use lapin::BasicProperties;
use tokio::time::Instant;

use crate::world::{Does, SERVICE, Seen, World, body, eventually, keeps, made};

async fn letters(world: &World, count: usize) -> Vec<artel_queue::DeadLetter> {
    let dead = DeadLetters::new(&world.broker, &world.topology);
    eventually(&format!("{count} dead letters"), async || {
        dead.peek(SERVICE, 100).await.unwrap().len() == count
    })
    .await;
    dead.peek(SERVICE, 100).await.unwrap()
}

#[tokio::test]
async fn a_failing_event_comes_again_after_growing_pauses_and_then_is_a_dead_letter() {
    let world = World::new();
    let seen = Seen::<(u32, Instant)>::default();
    let handler = {
        let seen = seen.clone();
        Does(move |message: Message| {
            seen.push((message.attempt, Instant::now()));
            async move { Err(Failure::Retry(format!("no luck {}", message.attempt))) }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    let event = made("one", "body");
    world.publisher().await.publish(std::slice::from_ref(&event)).await.unwrap();
    let letter = letters(&world, 1).await.remove(0);
    assert_eq!(
        (letter.id, letter.error.as_str(), letter.attempts),
        (event.id.clone(), "no luck 3", 3),
        "the last error, and how often it was tried"
    );
    assert_eq!(letter.message.unwrap().event.name, "thing.made");
    let seen = seen.all();
    assert_eq!(seen.iter().map(|(attempt, _)| *attempt).collect::<Vec<_>>(), [1, 2, 3]);
    for (pause, pair) in world.topology.retries().iter().zip(seen.windows(2)) {
        assert!(pair[1].1 - pair[0].1 >= *pause, "came again too early: {seen:?}");
    }
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn what_can_never_be_handled_is_a_dead_letter_at_once() {
    let world = World::new();
    let seen = Seen::<String>::default();
    let handler = {
        let seen = seen.clone();
        Does(move |message: Message| {
            let text = body(&message);
            seen.push(text.clone());
            let fails = text == "poison";
            async move { if fails { Err(Failure::Permanent("cannot decode".to_owned())) } else { Ok(()) } }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    // One that a handler rejects, and one that is no event at all.
    let publisher = world.publisher().await;
    publisher.publish(&[made("one", "poison"), made("one", "good")]).await.unwrap();
    let (_connection, channel) = world.channel().await;
    let queue = world.topology.queue(SERVICE).into();
    let properties = BasicProperties::default();
    channel
        .basic_publish("".into(), queue, Default::default(), b"\xff\x00", properties)
        .await
        .unwrap()
        .await
        .unwrap();
    let mut letters = letters(&world, 2).await;
    letters.sort_by_key(|letter| letter.message.is_none());
    assert_eq!((letters[0].error.as_str(), letters[0].attempts), ("cannot decode", 1));
    assert_eq!((letters[1].error.as_str(), letters[1].size), ("the message has no message_id", 2));
    seen.reaches(2).await;
    assert_eq!(seen.all(), ["poison", "good"], "the poison is tried once and holds nothing up");
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn a_panic_and_a_hanging_handler_are_failures_and_not_the_end() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let handler = {
        let seen = seen.clone();
        Does(move |message: Message| {
            seen.push(message.clone());
            async move {
                match message.attempt {
                    1 => panic!("out of cheese"),
                    2 => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        })
    };
    let subscription = Subscription { timeout: Duration::from_millis(100), ..world.subscription() };
    let listener = world.listen(subscription, handler).await;
    world.publisher().await.publish(&[made("one", "a"), made("two", "b")]).await.unwrap();
    let attempts: Vec<u32> = seen.reaches(6).await.iter().map(|message| message.attempt).collect();
    assert_eq!((attempts.iter().filter(|attempt| **attempt == 3).count(), attempts.len()), (2, 6));
    assert!(letters(&world, 0).await.is_empty());
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn what_is_put_off_never_becomes_a_dead_letter() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    let handler = {
        let seen = seen.clone();
        Does(move |message: Message| {
            seen.push(message.clone());
            let times = seen.len();
            async move {
                let reason = "persist is away".to_owned();
                match times {
                    0..5 => Err(Failure::Later { reason, wait: None }),
                    5..8 => Err(Failure::Later { reason, wait: Some(Duration::from_millis(60)) }),
                    _ => Ok(()),
                }
            }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    world.publisher().await.publish(&[made("one", "a")]).await.unwrap();
    let seen = seen.reaches(8).await;
    assert!(seen.iter().all(|message| message.attempt == 1), "nothing has failed: {seen:?}");
    assert!(letters(&world, 0).await.is_empty());
    drop(listener);
    world.clean().await;
}

#[tokio::test]
async fn a_binding_that_nobody_listens_to_any_more_goes_away() {
    let world = World::new();
    let seen = Seen::<Message>::default();
    drop(world.listen(Subscription::new(SERVICE, ["thing.made", "thing.old"]), keeps(&seen)).await);
    let listener = world.listen(Subscription::new(SERVICE, ["thing.made"]), keeps(&seen)).await;
    let publisher = world.publisher().await;
    let mut old = made("one", "a");
    old.name = "thing.old".to_owned();
    assert_eq!(publisher.publish(std::slice::from_ref(&old)).await.unwrap(), [Outcome::Confirmed]);
    let letter = letters(&world, 1).await.remove(0);
    assert_eq!(letter.error, "nobody in listener listens to thing.old");
    eventually("the binding is removed", async || {
        publisher.publish(std::slice::from_ref(&old)).await.unwrap() == [Outcome::Unroutable]
    })
    .await;
    assert_eq!(seen.len(), 0);
    drop(listener);
    world.clean().await;
}
