//! B3: placing an order in one Commit, with change log, outbox and idempotency record, against pgbench doing the same by
//! hand in five statements and those rows.

use anyhow::Result;

use crate::figures::Setting;
use crate::place_order::{Basket, Orders};
use crate::report::{Outcome, Verdict};
use crate::rounds::in_turn;
use crate::yardstick::pgbench::Pgbench;

/// Clients of the closed loop.
const CLIENTS: usize = 32;
const SCRIPT: &str = include_str!("yardstick/place_order.sql");

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let store = &setting.store().await?;
    let logs = setting.places()?.state.join("logs");
    let mut ours = Orders { store, basket: Basket::Three, clients: CLIENTS };
    let mut by_hand = Pgbench::new("pgbench", store, SCRIPT, CLIENTS, &logs)?.writing();
    let many = in_turn("B3", setting.plan, &mut [&mut ours, &mut by_hand]).await?;

    let mut ours = Orders { store, basket: Basket::Three, clients: 1 };
    let mut by_hand = Pgbench::new("pgbench", store, SCRIPT, 1, &logs)?.writing().timed();
    let one = in_turn("B3", setting.plan, &mut [&mut ours, &mut by_hand]).await?;

    let postgres = many[0].cpu("PostgreSQL") / many[1].cpu("PostgreSQL");
    let more = one[0].median(|sample| sample.p50()) - one[1].median(|sample| sample.p50());
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_least("place order, rate against pgbench", "x", many[0].rate() / many[1].rate(), 2.0),
            Verdict::at_most("place order, PostgreSQL's CPU against pgbench's", "x", postgres, 0.4),
            Verdict::at_most("place order, one client, p50 above pgbench's", " ms", more, 0.15),
        ],
        sets: vec![("32 clients", many), ("one client", one)],
        notes: Vec::new(),
    })
}
