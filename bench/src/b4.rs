//! B4: everybody orders the same product. The rate against pgbench; and of N in stock exactly N are sold.

use std::cell::Cell;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use tonic::Code;

use crate::figures::Setting;
use crate::place_order::{Basket, Orders};
use crate::report::{Outcome, Verdict};
use crate::rounds::in_turn;
use crate::store::{Store, product_id};
use crate::yardstick::pgbench::Pgbench;

/// Clients of the closed loop.
const CLIENTS: usize = 32;
const SCRIPT: &str = include_str!("yardstick/hot_order.sql");
/// What is in stock when exactly that is to be sold, and how many are asked for.
const STOCK: i64 = 5_000;
const ASKED: i64 = 6_000;

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let store = &setting.store().await?;
    let logs = setting.places()?.state.join("logs");
    let mut ours = Orders { store, basket: Basket::Hot, clients: CLIENTS };
    let mut by_hand = Pgbench::new("pgbench", store, SCRIPT, CLIENTS, &logs)?.writing();
    let hot = in_turn("B4", setting.plan, &mut [&mut ours, &mut by_hand]).await?;
    let (sold, refused, left) = sell_out(store).await?;
    let exact = sold == STOCK && refused == ASKED - STOCK && left == 0;
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_least(
                "one hot product, rate against pgbench",
                "x",
                hot[0].rate() / hot[1].rate(),
                10.0,
            ),
            Verdict::holds(
                "one hot product, sold out",
                &format!("{STOCK} of {ASKED} sold"),
                format!("{sold} sold, {refused} refused, {left} left"),
                exact,
            ),
        ],
        sets: vec![("32 clients", hot)],
        notes: Vec::new(),
    })
}

/// Sold, refused, left: as callers were told, and as the database has it.
async fn sell_out(store: &Store) -> Result<(i64, i64, i64)> {
    store.reset().await?;
    let hot = product_id(1);
    store.execute(&format!("UPDATE products SET stock = {STOCK} WHERE id = '{hot}'")).await?;
    let stubs = store.stubs().await?;
    let (asked, sold, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let clients = (0..CLIENTS).map(|client| {
        let mut stub = stubs[client % stubs.len()].clone();
        let (asked, sold, refused) = (&asked, &sold, &refused);
        async move {
            while asked.get() < ASKED {
                asked.set(asked.get() + 1);
                match stub.commit(Basket::Hot.order().1).await {
                    Ok(_) => sold.set(sold.get() + 1),
                    Err(status) if status.code() == Code::FailedPrecondition => {
                        refused.set(refused.get() + 1)
                    }
                    Err(status) => return Err(status),
                }
            }
            Ok(())
        }
    });
    try_join_all(clients).await.context("selling out")?;
    let orders = store.count("SELECT count(*) FROM orders").await?;
    anyhow::ensure!(orders == sold.get(), "{} were told that they have it, and {orders} have", sold.get());
    let left = store.count(&format!("SELECT stock::bigint FROM products WHERE id = '{hot}'")).await?;
    store.execute(&format!("UPDATE products SET stock = 1000000000 WHERE id = '{hot}'")).await?;
    Ok((sold.get(), refused.get(), left))
}
