use std::sync::Arc;
use std::time::Duration;

use artel_client::Call;
use artel_handle::Listener as _;
use artel_proto::notify::{Email, EmailStatus};
use artel_repo::Commit;
use artel_util::time::from_chrono;
use chrono::{TimeDelta, Utc};

use super::world::World;
use crate::letter::{CLAIMED, Rules};
use crate::outbox::Outbox;
use crate::outbox::tests::Post;
use crate::rows::{Letters as _, Rows};

const RULES: Rules = Rules {
    lease: Duration::from_secs(30),
    send_within: Duration::from_secs(20),
    give_up_after: TimeDelta::hours(96),
};

#[tokio::test]
async fn of_many_senders_one_sends_and_writes_it_down() {
    let (world, post) = (World::start().await, Post::open().await);
    let person = world.person().await;
    let (delivery, event) = world.placed(&person.id);
    world.teller.hear(&delivery, event).await.unwrap();
    let id = world.all::<Email>(&person.id).await[0].id.clone();
    let call = world.call();
    // Each with a memory of its own, as in processes of their own.
    let senders: Vec<Outbox<Email>> =
        (0..8).map(|_| Outbox::new(Arc::new(Rows::new(world.repo.clone())), post.mailer(), RULES)).collect();
    futures::future::join_all(senders.iter().map(|sender| sender.send(&call, &id))).await;
    senders[0].send(&call, &id).await.unwrap();
    let email = world.all::<Email>(&person.id).await.remove(0);
    assert_eq!((email.status(), email.attempts, email.lease_time), (EmailStatus::Sent, 1, None));
    assert!(email.send_time.is_some());
    let messages = post.messages_to(person.email.as_deref().unwrap()).await;
    assert_eq!((messages.len(), &messages[0]["deliveries"]), (1, &serde_json::json!(1)), "{messages:?}");
}

#[tokio::test]
async fn what_is_left_alone_is_found_when_its_lease_ends() {
    let (world, post) = (World::start().await, Post::open().await);
    let person = world.person().await;
    let (delivery, event) = world.placed(&person.id);
    world.teller.hear(&delivery, event).await.unwrap();
    let (rows, call) = (Rows::<Email>::new(world.repo.clone()), world.call());
    assert!(rows.left_alone(&call, Utc::now()).await.unwrap().is_empty(), "the event has a minute");
    let mut email = world.all::<Email>(&person.id).await.remove(0);

    // A sender claimed it and died; its claim, sent again, is recognised, and another's is refused.
    email.set_status(EmailStatus::Sending);
    email.lease_time = Some(from_chrono(Utc::now() - TimeDelta::seconds(1)));
    let version = rows.write(&call, &email, &CLAIMED, "claim", "me").await.unwrap();
    assert_eq!(version, Some(email.version + 1));
    assert_eq!(rows.write(&call, &email, &CLAIMED, "claim", "me").await.unwrap(), version);
    assert_eq!(rows.write(&call, &email, &CLAIMED, "claim", "you").await.unwrap(), None);
    assert_eq!(rows.write(&call, &email, &CLAIMED, "settle", "you").await.unwrap(), None, "another version");

    assert_eq!(rows.left_alone(&call, Utc::now()).await.unwrap(), [email.id.clone()]);
    // Whose job it is has a workspace of its own, and looks after all of them.
    let job = Call::by_service("notify", &artel_util::new_id());
    assert!(rows.left_alone(&job, Utc::now()).await.unwrap().is_empty());
    Outbox::new(Arc::new(rows), post.mailer(), RULES).sweep(&job).await.unwrap();
    let email = world.all::<Email>(&person.id).await.remove(0);
    assert_eq!((email.status(), email.attempts), (EmailStatus::Sent, 1));
    let nothing =
        Rows::<Email>::new(world.repo.clone()).left_alone(&call, Utc::now() + TimeDelta::days(1)).await;
    assert!(nothing.unwrap().is_empty());
    world.repo.commit(&call, Commit::new().delete::<Email>(&email.id)).await.unwrap();
}
