//! A charge that arrives at the bank after it was looked up in vain is found and given back.

use std::time::Duration;

use artel_proto::billing::{Payment, PaymentStatus};
use artel_vendors::{Act, Faults};

use super::world::{World, until};

/// The bank holds every request up for longer than anybody waits, and does it then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charge_that_arrives_late_is_given_back() {
    let world = World::with("step_ms = 900\nlease_ms = 2000\n[billing.acquirer]\ntimeout_ms = 400").await;
    let guest = world.guest().await;
    world.bank_is(Faults::script(vec![Act::Late(Duration::from_secs(6)); 4]));
    let refused = world.pay(&guest, 300).await.unwrap_err();
    assert_eq!(refused.reason(), "BANK_UNAVAILABLE");
    let payment = world.check(&guest, 300).await;
    assert_eq!(payment.status(), PaymentStatus::Failed);
    assert!(payment.check_time.is_some(), "somebody will look");
    until("taken late", || async { world.moved(&payment.id).0 == 700 }).await;
    until("given back", || async { world.moved(&payment.id).2 == 700 }).await;
    assert_eq!(world.moved(&payment.id), (700, 1, 700));
    until("noted", || async {
        let payment: Payment = world.get(&payment.id).await.unwrap();
        payment.check_time.is_none() && !payment.transaction_id.is_empty()
    })
    .await;
    assert_eq!(world.violations().await, vec![]);
}

/// Nobody looks for what was surely not taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_card_is_not_looked_for() {
    let world = World::start().await;
    let guest = world.guest().await;
    world.bank_is(Faults::script([Act::Decline]));
    world.pay(&guest, 0).await.unwrap_err();
    assert_eq!(world.check(&guest, 0).await.check_time, None);
}
