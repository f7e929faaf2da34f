//! Receipts: queued while the printer is dead, printed once when it returns, seen by an operator meanwhile.

use artel_proto::billing::{ListReceiptsRequest, Receipt, ReceiptStatus};
use artel_vendors::printer::Effect;
use artel_vendors::{Act, Faults};

use super::world::{PRICE, World, read, until};

/// The `external_id` and sum of all that was printed.
fn printed(world: &World) -> Vec<(String, i64)> {
    let printed = world.printer.ledger().into_iter().filter_map(|entry| match entry.effect {
        Effect::Printed { slip, .. } => Some((slip.external_id, slip.total_minor)),
        _ => None,
    });
    printed.collect()
}

async fn listed(world: &World, status: ReceiptStatus) -> Vec<Receipt> {
    let asked = ListReceiptsRequest { status: status.into(), ..ListReceiptsRequest::default() };
    read(world.client().list_receipts(world.cashier().request(asked)).await).unwrap().receipts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_printer_holds_nothing_up_and_prints_once_when_it_returns() {
    let world = World::start().await;
    let guest = world.guest().await;
    world.printer.faults().set(Faults::down());
    let paid = world.pay(&guest, 300).await.unwrap();
    world.check(&guest, 300).await;
    until("tried in vain", || async {
        let waiting = listed(&world, ReceiptStatus::Unspecified).await;
        waiting.len() == 1 && waiting[0].attempts >= 2 && !waiting[0].error.is_empty()
    })
    .await;
    assert_eq!(listed(&world, ReceiptStatus::Waiting).await[0].id, paid.payment_id);
    world.printer.faults().clear();
    until("printed", || async { listed(&world, ReceiptStatus::Printed).await.len() == 1 }).await;
    assert_eq!(printed(&world), [(paid.payment_id.clone(), PRICE)]);
    let receipt: Receipt = world.get(&paid.payment_id).await.unwrap();
    assert!(!receipt.fiscal_number.is_empty() && receipt.print_time.is_some() && receipt.error.is_empty());
    assert!(receipt.contact.ends_with("@example.com"), "{receipt:?}");
    assert_eq!(listed(&world, ReceiptStatus::Unspecified).await, vec![]);
}

/// What the printer took and did not answer is taken again under the same id, and printed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_of_the_printer_prints_no_second_receipt() {
    let world = World::start().await;
    let acts = [Act::Lose, Act::Fail, Act::Lose];
    world.printer.faults().set(Faults::script(acts));
    let guest = world.guest().await;
    let paid = world.pay(&guest, 0).await.unwrap();
    until("printed", || async { listed(&world, ReceiptStatus::Printed).await.len() == 1 }).await;
    assert_eq!(printed(&world), [(paid.payment_id, PRICE)]);
}

/// Two copies look after the same receipts: each is printed once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_copies_print_each_receipt_once() {
    let world = World::start().await;
    world.mesh.serve(crate::service(world.mesh.host("billing")).await.unwrap()).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..8 {
        let guest = world.guest().await;
        ids.push(world.pay(&guest, 0).await.unwrap().payment_id);
    }
    until("printed", || async { listed(&world, ReceiptStatus::Printed).await.len() == ids.len() }).await;
    let mut on_paper: Vec<String> = printed(&world).into_iter().map(|(id, _)| id).collect();
    on_paper.sort_unstable();
    ids.sort_unstable();
    assert_eq!(on_paper, ids);
}
