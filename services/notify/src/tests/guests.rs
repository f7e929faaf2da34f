//! What guests are told about their dishes.

use artel_handle::{Delivery, Listener as _};
use artel_proto::billing::{PaymentRefunded, Refund};
use artel_proto::identity::User;
use artel_proto::notify::{Email, Notification, Preferences, Push, PushDevice, SendStatus, Sms};
use artel_proto::order::{Order, OrderCancelled, OrderPaid, OrderPlaced};
use artel_proto::robotics::OrderReady;
use artel_queue::Failure;
use artel_repo::Commit;
use artel_util::new_id;

use super::world::World;
use crate::config::tests::settings;
use crate::templates::tests::{dishes, refund};

impl World {
    /// Somebody who signed in by phone and has devices.
    async fn guest(&self, devices: usize) -> User {
        let random = uuid::Uuid::new_v4().as_u128() % 1_000_000_000;
        let user = User {
            id: new_id(),
            phone: Some(format!("+77{random:09}")),
            display_name: "Гость".to_owned(),
            locale: "ru".to_owned(),
            ..User::default()
        };
        let mut commit = Commit::new().insert(&user);
        for _ in 0..devices {
            let device = PushDevice {
                id: new_id(),
                user_id: user.id.clone(),
                token: new_id(),
                ..PushDevice::default()
            };
            commit = commit.insert(&device);
        }
        self.repo.commit(&self.call(), commit).await.unwrap();
        user
    }

    fn dishes_of(&self, user: &User) -> Order {
        Order { id: new_id(), user_id: user.id.clone(), ..dishes() }
    }

    fn paid(&self, user: &User) -> (Delivery, OrderPaid) {
        let order = self.dishes_of(user);
        let event = OrderPaid {
            order_id: order.id.clone(),
            user_id: user.id.clone(),
            payment_id: new_id(),
            order: Some(order),
        };
        (self.delivery("order.paid"), event)
    }

    async fn counts(&self, user: &User) -> (usize, usize, usize, usize) {
        (
            self.all::<Notification>(&user.id).await.len(),
            self.all::<Email>(&user.id).await.len(),
            self.all::<Sms>(&user.id).await.len(),
            self.all::<Push>(&user.id).await.len(),
        )
    }
}

#[tokio::test]
async fn a_paid_order_is_told_by_all_ways_at_once_and_once() {
    let mut world = World::start().await;
    let guest = world.guest(2).await;
    let (delivery, event) = world.paid(&guest);
    let (first, second) = tokio::join!(
        world.teller.hear(&delivery, event.clone()),
        world.teller.hear(&delivery, event.clone())
    );
    first.and(second).unwrap();
    // Its key was swept meanwhile: the tables' own law holds.
    let mut other_key = delivery.clone();
    other_key.call.service = "notify-again".to_owned();
    world.teller.hear(&other_key, event.clone()).await.unwrap();
    assert_eq!(world.counts(&guest).await, (1, 0, 1, 2));

    let sms = world.all::<Sms>(&guest.id).await.remove(0);
    assert_eq!((sms.phone.as_str(), sms.subject_id.as_str()), (guest.phone(), event.order_id.as_str()));
    assert_eq!((sms.status(), sms.event_type.as_str()), (SendStatus::Pending, "order.paid"));
    assert!(sms.text.contains("№12"), "{}", sms.text);
    let notification = world.all::<Notification>(&guest.id).await.remove(0);
    assert_eq!(
        (notification.title.as_str(), &notification.subject_id),
        ("Заказ №12 принят", &event.order_id)
    );
    let mut queued = Vec::new();
    while let Ok(event) = world.announced.try_recv() {
        queued.push(event.name);
    }
    queued.sort();
    assert_eq!(queued, ["push.queued", "push.queued", "sms.queued"]);

    let ready = OrderReady {
        order_id: event.order_id.clone(),
        user_id: guest.id.clone(),
        board_number: 12,
        ..OrderReady::default()
    };
    world.teller.hear(&world.delivery("order.ready"), ready).await.unwrap();
    assert_eq!(world.counts(&guest).await, (2, 0, 2, 4));
    let pushes = world.all::<Push>(&guest.id).await;
    assert!(pushes.iter().any(|push| push.title == "Заказ №12 готов"), "{pushes:?}");
}

#[tokio::test]
async fn an_order_of_dishes_is_not_told_before_it_is_paid() {
    let world = World::start().await;
    let guest = world.guest(1).await;
    let order = world.dishes_of(&guest);
    let placed =
        OrderPlaced { order_id: order.id.clone(), user_id: guest.id.clone(), order: Some(order.clone()) };
    world.teller.hear(&world.delivery("order.placed"), placed).await.unwrap();
    let cancelled =
        OrderCancelled { order_id: order.id.clone(), user_id: guest.id.clone(), order: Some(order) };
    world.teller.hear(&world.delivery("order.cancelled"), cancelled).await.unwrap();
    assert_eq!(world.counts(&guest).await, (0, 0, 0, 0));
    // One of the shop is.
    let (delivery, event) = world.placed(&guest.id);
    world.teller.hear(&delivery, event).await.unwrap();
    assert_eq!(world.counts(&guest).await, (1, 0, 0, 0), "and by e-mail, where there is an address");
}

#[tokio::test]
async fn a_refund_is_told_in_the_application() {
    let world = World::start().await;
    let guest = world.guest(1).await;
    let event = PaymentRefunded {
        payment_id: new_id(),
        order_id: new_id(),
        user_id: guest.id.clone(),
        refund: Some(Refund { id: new_id(), ..refund() }),
        payment: None,
    };
    let delivery = world.delivery("payment.refunded");
    for _ in 0..2 {
        world.teller.hear(&delivery, event.clone()).await.unwrap();
    }
    assert_eq!(world.counts(&guest).await, (1, 0, 0, 0));
    let told = world.all::<Notification>(&guest.id).await.remove(0);
    assert!(told.body.contains("1\u{a0}250,00\u{a0}₸") && told.body.contains("на карту"), "{}", told.body);
    assert_eq!(told.subject_id, event.order_id);
    let empty = PaymentRefunded { refund: None, ..event };
    let refused = world.teller.hear(&delivery, empty).await;
    assert!(matches!(refused, Err(Failure::Permanent(_))), "{refused:?}");
}

#[tokio::test]
async fn guests_are_told_as_they_chose_and_as_there_are_providers() {
    let mut world = World::start().await;
    for (sms, push, told) in [(false, true, (1, 0, 0, 1)), (true, false, (1, 0, 1, 0))] {
        let guest = world.guest(1).await;
        let preferences =
            Preferences { id: guest.id.clone(), in_app: true, sms, push, ..Preferences::default() };
        world.repo.commit(&world.call(), Commit::new().insert(&preferences)).await.unwrap();
        let (delivery, event) = world.paid(&guest);
        world.teller.hear(&delivery, event).await.unwrap();
        assert_eq!(world.counts(&guest).await, told);
    }
    world.telling_by(settings("").unwrap());
    let guest = world.guest(1).await;
    let (delivery, event) = world.paid(&guest);
    world.teller.hear(&delivery, event).await.unwrap();
    assert_eq!(world.counts(&guest).await, (1, 0, 0, 0));
}
