use artel_proto::bonus::BonusAccount;
use artel_repo::Commit;
use artel_util::new_id;
use futures::future::join_all;

use super::world::{Paid, World};

const AT_ONCE: usize = 64;
const AMOUNT: i64 = 10;
/// What the balance affords, of [`AT_ONCE`].
const AFFORDED: usize = 25;

#[tokio::test(flavor = "multi_thread")]
async fn of_64_payments_at_once_exactly_those_get_points_that_there_are_points_for() {
    let world = World::start().await;
    let guest = world.guest(AMOUNT * AFFORDED as i64 + AMOUNT - 1).await;
    let payments: Vec<String> = (0..AT_ONCE).map(|_| new_id()).collect();
    let answers = join_all(payments.iter().map(|payment| world.hold(payment, &guest, AMOUNT))).await;
    let held: Vec<&String> =
        payments.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()).map(|(id, _)| id).collect();
    assert_eq!(held.len(), AFFORDED);
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused.reason(), "BONUS_SHORT", "{refused}");
    }
    assert_eq!(world.points(&guest).await, (AMOUNT - 1, AMOUNT * AFFORDED as i64, 0));
    // All are spent at once, each twice at once.
    let spent = join_all(held.iter().chain(&held).map(|payment| world.spend(payment))).await;
    assert!(spent.iter().all(Result::is_ok), "{spent:?}");
    assert_eq!(world.points(&guest).await, (AMOUNT - 1, 0, 0));
}

/// The negative control of the test above: who reads what there is and writes what is left gives it away many times.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_floor_a_balance_is_given_away_many_times() {
    let world = World::start().await;
    let guest = world.guest(AMOUNT * AFFORDED as i64).await;
    let (repo, call) = (&world.repo, world.call());
    let read = join_all((0..AT_ONCE).map(|_| repo.get::<BonusAccount>(&call, &guest))).await;
    let written = join_all(read.into_iter().map(async |account| {
        let account = account.unwrap().unwrap();
        let left = BonusAccount {
            balance: account.balance - AMOUNT,
            held: account.held + AMOUNT,
            ..account.clone()
        };
        repo.commit(&call, Commit::new().update(&left, &["balance", "held"])).await.is_ok()
            && account.balance >= AMOUNT
    }))
    .await;
    let given = written.into_iter().filter(|held| *held).count();
    let account: BonusAccount = repo.get(&call, &guest).await.unwrap().unwrap();
    assert!(given > AFFORDED && account.held < AMOUNT * given as i64, "{given} of {AFFORDED}: {account:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_payment_asked_for_many_times_at_once_is_held_or_given_back_once() {
    let world = World::start().await;
    let (guest, payment) = (world.guest(100).await, new_id());
    let answers = join_all((0..16).map(|_| world.hold(&payment, &guest, 60))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(world.points(&guest).await, (40, 60, 0));

    // Given back and made at once: it ends as given back, whichever is first.
    let other = new_id();
    let (made, released) = tokio::join!(world.hold(&other, &guest, 40), world.release(&other, &guest));
    released.unwrap();
    assert!(made.is_ok() || made.is_err_and(|error| error.reason() == "HOLD_RELEASED"));
    assert_eq!(world.points(&guest).await, (40, 60, 0));

    // Spent and given back at once: one of the two.
    let (spent, released) = tokio::join!(world.spend(&payment), world.release(&payment, &guest));
    assert!(spent.is_ok() != released.is_ok(), "{spent:?} {released:?}");
    let left = if spent.is_ok() { 40 } else { 100 };
    assert_eq!(world.points(&guest).await, (left, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_points_of_a_guest_come_many_at_once_and_none_is_lost() {
    let world = World::start().await;
    let guest = world.guest(0).await;
    let orders: Vec<Paid> = (0..32).map(|_| Paid::of(&guest, 100, 0)).collect();
    let earned = join_all(orders.iter().map(|order| world.paid(order))).await;
    assert!(earned.iter().all(Result::is_ok), "{earned:?}");
    assert_eq!(world.points(&guest).await, (320, 0, 0));

    // The negative control: all saw that there was no account, and each writes its own.
    let (repo, call, other) = (&world.repo, world.call(), new_id());
    let first = BonusAccount { id: other.clone(), balance: 10, ..BonusAccount::default() };
    let written = join_all((0..32).map(|_| repo.commit(&call, Commit::new().upsert(&first)))).await;
    assert!(written.iter().all(Result::is_ok));
    let account: BonusAccount = repo.get(&call, &other).await.unwrap().unwrap();
    assert_eq!(account.balance, 10, "of 320");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_at_once_the_entries_add_up_to_what_there_is() {
    let world = World::start().await;
    let guest = world.guest(500).await;
    for _ in 0..4 {
        join_all((0..40).map(async |_| {
            let (payment, amount) = (new_id(), rand::random_range(1..100));
            if rand::random_bool(0.4) {
                let order = Paid::of(&guest, amount * 10, 0);
                // Busy is tried again later, as the broker does.
                while world.paid(&order).await.is_err() {}
                let refund = new_id();
                while world.refunded(&order, &refund, 0, amount * 5).await.is_err() {}
            } else if world.hold(&payment, &guest, amount).await.is_ok() {
                let _ = tokio::join!(world.spend(&payment), world.release(&payment, &guest));
                let _ = world.give_back(&new_id(), &payment, rand::random_range(1..=amount)).await;
            }
        }))
        .await;
        let (balance, held, owed) = world.points(&guest).await;
        assert!(balance >= 0 && held == 0 && owed >= 0 && (balance == 0 || owed == 0));
    }
}
