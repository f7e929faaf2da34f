//! What operators do, and stopping in good order.

use std::sync::Arc;
use std::time::Duration;

use artel_queue::{DeadLetters, Drained, Failure, Message, Pick};
use tokio::sync::Semaphore;

use crate::world::{Does, LIMIT, SERVICE, Seen, World, body, eventually, keeps, made};

#[tokio::test]
async fn dead_letters_are_looked_at_sent_again_and_thrown_away() {
    let world = World::new();
    let refuse = Does(|_: Message| async { Err(Failure::Permanent("broken for now".to_owned())) });
    let broken = world.listen(world.subscription(), refuse).await;
    let publisher = world.publisher().await;
    let events: Vec<_> = (0..4).map(|n| made("one", &n.to_string())).collect();
    publisher.publish(&events).await.unwrap();
    let dead = DeadLetters::new(&world.broker, &world.topology);
    let there = async || dead.peek(SERVICE, 100).await.unwrap();
    eventually("all dead", async || there().await.len() == 4).await;
    broken.drain(LIMIT).await;

    assert_eq!(dead.peek(SERVICE, 1).await.unwrap().len(), 1);
    assert_eq!(dead.discard(SERVICE, &Pick::Ids(vec![events[1].id.clone()])).await.unwrap(), 1);
    let ids: Vec<String> = there().await.into_iter().map(|letter| letter.id).collect();
    assert_eq!(
        ids,
        [&events[0].id, &events[2].id, &events[3].id].map(Clone::clone),
        "looking changes nothing"
    );

    let seen = Seen::<Message>::default();
    let mended = world.listen(world.subscription(), keeps(&seen)).await;
    assert_eq!(dead.redrive(SERVICE, &Pick::Ids(vec![events[2].id.clone()])).await.unwrap(), 1);
    assert_eq!(body(&seen.reaches(1).await[0]), "2");
    assert_eq!(dead.redrive(SERVICE, &Pick::All).await.unwrap(), 2);
    let got = seen.reaches(3).await;
    assert!(got.iter().all(|message| message.attempt == 1 && message.event.name == "thing.made"), "{got:?}");
    assert!(there().await.is_empty());
    mended.drain(LIMIT).await;
    world.clean().await;
}

#[tokio::test]
async fn draining_finishes_what_is_in_hand_and_gives_back_the_rest() {
    let world = World::new();
    let (seen, gate) = (Seen::<String>::default(), Arc::new(Semaphore::new(0)));
    let handler = {
        let (seen, gate) = (seen.clone(), gate.clone());
        Does(move |message: Message| {
            let (seen, gate) = (seen.clone(), gate.clone());
            async move {
                seen.push(format!("begin {}", body(&message)));
                if message.event.key == "stuck" {
                    return std::future::pending().await;
                }
                gate.acquire().await.unwrap().forget();
                seen.push(format!("end {}", body(&message)));
                Ok(())
            }
        })
    };
    let listener = world.listen(world.subscription(), handler).await;
    let publisher = world.publisher().await;
    let events = [made("a", "1"), made("a", "2"), made("stuck", "3"), made("stuck", "4")];
    publisher.publish(&events).await.unwrap();
    publisher.publish(&[made("b", "5")]).await.unwrap();
    // Batches come in their order: when the last is begun, all are in hand.
    eventually("the last is begun", async || seen.all().contains(&"begin 5".to_owned())).await;
    let draining = tokio::spawn(listener.drain(Duration::from_secs(3)));
    gate.add_permits(3);
    assert_eq!(draining.await.unwrap(), Drained { finished: 3, returned: 2 });
    assert_eq!(seen.all().iter().filter(|line| line.starts_with("end")).count(), 3);

    let again = Seen::<Message>::default();
    let next = world.listen(world.subscription(), keeps(&again)).await;
    let got = again.reaches(2).await;
    assert_eq!(got.iter().map(body).collect::<Vec<_>>(), ["3", "4"], "what was finished doesn't come again");
    next.drain(LIMIT).await;
    world.clean().await;
}
