use artel_handle::Listener as _;
use artel_proto::Message as _;
use artel_proto::notify::{Email, EmailQueued, EmailStatus, Notification, Preferences};
use artel_proto::order::{OrderCancelled, OrderPlaced};
use artel_queue::Failure;
use artel_repo::Commit;
use artel_util::new_id;

use super::world::World;

#[tokio::test]
async fn an_event_that_comes_again_and_again_is_told_once() {
    let mut world = World::start().await;
    let person = world.person().await;
    let (delivery, event) = world.placed(&person.id);
    let (first, second) = tokio::join!(
        world.teller.hear(&delivery, event.clone()),
        world.teller.hear(&delivery, event.clone())
    );
    first.unwrap();
    second.unwrap();
    world.teller.hear(&delivery, event.clone()).await.unwrap();

    let (notifications, emails) =
        (world.all::<Notification>(&person.id).await, world.all::<Email>(&person.id).await);
    assert_eq!((notifications.len(), emails.len()), (1, 1));
    let (notification, email) = (&notifications[0], &emails[0]);
    assert_eq!(
        (notification.title.as_str(), notification.subject_id.as_str(), notification.event_type.as_str()),
        ("A7-20417 тапсырысы қабылданды", event.order_id.as_str(), "order.placed")
    );
    assert_eq!((email.address.as_str(), email.locale.as_str()), (person.email.as_deref().unwrap(), "kk"));
    assert_eq!((email.status(), email.attempts), (EmailStatus::Pending, 0));
    let announced = world.announced.recv().await.unwrap();
    assert_eq!((announced.name.as_str(), announced.key.as_str()), ("email.queued", email.id.as_str()));
    assert_eq!(EmailQueued::decode(announced.body).unwrap().email_id, email.id);
    assert!(world.announced.try_recv().is_err(), "announced once");

    // Its key was swept meanwhile: the table's own law holds.
    let mut other_key = delivery.clone();
    other_key.call.service = "notify-again".to_owned();
    world.teller.hear(&other_key, event.clone()).await.unwrap();
    // Another change of the same order is told as well.
    let cancelled = OrderCancelled {
        order_id: event.order_id.clone(),
        user_id: event.user_id.clone(),
        order: event.order.clone(),
    };
    let (mut delivery, _) = world.placed(&person.id);
    delivery.event = "order.cancelled".to_owned();
    world.teller.hear(&delivery, cancelled).await.unwrap();
    let mut types: Vec<String> = world
        .all::<Notification>(&person.id)
        .await
        .into_iter()
        .map(|notification| notification.event_type)
        .collect();
    types.sort();
    assert_eq!(
        (types, world.all::<Email>(&person.id).await.len()),
        (vec!["order.cancelled".into(), "order.placed".into()], 2)
    );
}

#[tokio::test]
async fn people_are_told_as_they_chose() {
    let world = World::start().await;
    let person = world.person().await;
    for (email, in_app, told) in [(false, true, (1, 0)), (true, false, (1, 1)), (false, false, (1, 1))] {
        let preferences = Preferences {
            id: person.id.clone(),
            email,
            in_app,
            locale: "ru".to_owned(),
            ..Preferences::default()
        };
        world.repo.commit(&world.call(), Commit::new().upsert(&preferences)).await.unwrap();
        let (delivery, event) = world.placed(&person.id);
        world.teller.hear(&delivery, event).await.unwrap();
        let notifications = world.all::<Notification>(&person.id).await;
        assert_eq!((notifications.len(), world.all::<Email>(&person.id).await.len()), told);
        assert_eq!(notifications[0].title, "Заказ A7-20417 принят");
    }
}

#[tokio::test]
async fn what_can_never_be_told_is_put_aside() {
    let world = World::start().await;
    let (delivery, event) = world.placed(&new_id());
    let nobody = world.teller.hear(&delivery, event.clone()).await.unwrap_err();
    assert!(matches!(nobody, Failure::Permanent(_)), "{nobody:?}");
    let nothing = world.teller.hear(&delivery, OrderPlaced { order: None, ..event }).await.unwrap_err();
    assert!(matches!(nothing, Failure::Permanent(_)), "{nothing:?}");
}
