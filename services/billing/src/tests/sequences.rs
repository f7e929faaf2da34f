//! Random sequences of pay, refund and retry over the real services, while the bank misbehaves: what the model of the sums
//! (`domain`) promises holds of the rows and of the bank's ledger.

use artel_proto::bonus::BonusAccount;
use artel_proto::order::{Order, OrderStatus};
use artel_util::new_id;
use artel_vendors::Faults;
use futures::StreamExt as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::world::{Guest, POINTS, PRICE, World};

/// Sequences, and how many side by side.
const SEQUENCES: u64 = 120;
const SIDE_BY_SIDE: usize = 8;

/// One guest's evening; checked after each act that ended.
async fn evening(world: &World, seed: u64) {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut guest = world.guest().await;
    let bonus = chance.random_range(0..=PRICE);
    // Paid in the end, with other keys and the same ones again.
    let paid = loop {
        match world.pay(&guest, bonus).await {
            Ok(paid) => break paid,
            // Under way, or refused and asked again: the same answer. Then anew.
            Err(refused) if refused.is_transient() && chance.random_bool(0.5) => {}
            Err(refused) => {
                assert!(matches!(refused.reason(), "BANK_UNAVAILABLE" | "ORDER_BEING_PAID"), "{refused}");
                guest.key = new_id();
            }
        }
    };
    let cashier = world.cashier();
    let mut given = 0;
    for _ in 0..chance.random_range(1..6) {
        let (amount, key) = (chance.random_range(0..=PRICE), new_id());
        // The same key until it has ended: a cashier who does not know asks again.
        let answer = loop {
            match world.refund_as(&cashier, &paid.payment_id, amount, &key).await {
                Err(error) if error.is_transient() => {}
                ended => break ended,
            }
        };
        match answer {
            Ok(refund) => {
                given += refund.amount_minor;
                let again = world.refund_as(&cashier, &paid.payment_id, amount, &key).await.unwrap();
                assert_eq!(again, refund, "seed {seed}");
            }
            Err(refused) => assert_eq!(refused.reason(), "REFUND_TOO_MUCH", "seed {seed}"),
        }
    }
    balanced(world, &guest, &paid.payment_id, bonus, given, seed).await;
}

/// What the guest has and what the bank has moved is what was paid less what was given back, to the last unit.
async fn balanced(world: &World, guest: &Guest, payment: &str, bonus: i64, given: i64, seed: u64) {
    let shown = world.payment_as(&guest.call, payment).await.unwrap();
    let points_back: i64 = shown.refunds.iter().map(|refund| refund.bonus_minor).sum();
    let (taken, times, back) = world.moved(payment);
    assert_eq!(shown.payment.unwrap().refunded_minor, given, "seed {seed}");
    assert_eq!((taken, times), (PRICE - bonus, usize::from(bonus < PRICE)), "seed {seed}");
    assert_eq!(back + points_back, given, "seed {seed}");
    if given == PRICE {
        assert_eq!((back, points_back), (PRICE - bonus, bonus), "seed {seed}");
    }
    let points: BonusAccount = world.get(&guest.call.user.as_ref().unwrap().id).await.unwrap();
    assert_eq!((points.balance, points.held), (POINTS - bonus + points_back, 0), "seed {seed}");
    // What was tried before and failed has taken nothing that it did not give back.
    for other in world.payments_of(guest).await.iter().filter(|other| other.id != payment) {
        let (taken, times, back) = world.moved(&other.id);
        assert!(times <= 1 && taken == back, "seed {seed}: {other:?}");
    }
    let order: Order = world.get(&guest.order.id).await.unwrap();
    assert_eq!((order.status(), order.payment_id.as_str()), (OrderStatus::Paid, payment), "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_evenings_balance_to_the_last_unit() {
    let world = World::start().await;
    world.bank_is(Faults { fail_percent: 10.0, lose_percent: 10.0, twice_percent: 5.0, ..Faults::default() });
    let evenings = futures::stream::iter(0..SEQUENCES);
    evenings.for_each_concurrent(SIDE_BY_SIDE, |seed| evening(&world, seed)).await;
    assert_eq!(world.violations().await, vec![]);
}
