//! Random batches against a model in memory: after each, persist holds what the model says, or refuses as it does.

use std::collections::BTreeMap;

use artel_proto::catalog::Product;
use artel_proto::persist::Mutation;
use artel_proto::persist::value::Kind;
use artel_util::new_id;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::*;

/// What a row is, as far as the model goes: stock, name, version.
type Row = (i64, String, i64);
type Rows = BTreeMap<String, Row>;

/// A mutation and what the model makes of it; `None` where it is refused.
fn step(
    random: &mut StdRng,
    ids: &[String],
    rows: &mut Rows,
    gone: &mut Vec<String>,
) -> (Mutation, Option<()>) {
    let id = &ids[random.random_range(0..ids.len())];
    let name = format!("n{}", random.random_range(0..1000));
    let stock = random.random_range(0..10_i64);
    let given = Product { id: id.clone(), name: name.clone(), stock: stock as i32, ..Product::default() };
    let before = rows.get(id).cloned();
    match random.random_range(0..12) {
        0..2 => {
            let free = before.is_none() && !gone.contains(id);
            let done = free.then(|| drop(rows.insert(id.clone(), (stock, name, 1))));
            (insert(&given), done)
        }
        2..4 => {
            // A deleted row's version goes on counting.
            let version = match (&before, gone.iter().any(|other| other == id)) {
                (Some(before), _) => Some(before.2 + 1),
                (None, false) => Some(1),
                (None, true) => None,
            };
            let Some(version) = version else { return (check::<Product>(id), None) };
            rows.insert(id.clone(), (stock, name, version));
            (upsert(&given), Some(()))
        }
        4..6 => {
            let mutation = update(&given, &["name"]);
            let done = before.map(|row| drop(rows.insert(id.clone(), (row.0, name, row.2 + 1))));
            (mutation, done)
        }
        6..9 => {
            let amount = random.random_range(-6..=6);
            let done = before.filter(|row| row.0 + amount >= 0);
            let done = done.map(|row| drop(rows.insert(id.clone(), (row.0 + amount, row.1, row.2 + 1))));
            (adjust::<Product>(id, "stock", amount, Some(0)), done)
        }
        9 => {
            let done = before.map(|_| {
                rows.remove(id);
                gone.push(id.clone());
            });
            (delete::<Product>(id), done)
        }
        10 => {
            let version = random.random_range(1..4);
            let done = before.filter(|row| row.2 == version).map(drop);
            (at_version(check::<Product>(id), version), done)
        }
        _ => {
            let done = before.filter(|row| row.0 == stock).map(drop);
            (expecting(check::<Product>(id), "stock", Some(Kind::IntValue(stock))), done)
        }
    }
}

#[tokio::test]
async fn random_batches_do_what_the_model_does() {
    let bench = Bench::new().await;
    let client = bench.client();
    let seed = rand::random::<u64>();
    let mut random = StdRng::seed_from_u64(seed);
    let ids: Vec<String> = (0..6).map(|_| new_id()).collect();
    let (mut rows, mut gone) = (Rows::new(), Vec::new());
    let (mut done, mut refused) = (0, 0);
    for round in 0..300 {
        let (mut after, mut after_gone) = (rows.clone(), gone.clone());
        let mut batch = Vec::new();
        let mut first_wrong = None;
        for index in 0..random.random_range(1..6) {
            let before = (after.clone(), after_gone.clone());
            let (mutation, result) = step(&mut random, &ids, &mut after, &mut after_gone);
            if result.is_none() && random.random_bool(0.8) {
                (after, after_gone) = before;
                continue;
            }
            batch.push(mutation);
            if result.is_none() {
                first_wrong = Some(index);
                break;
            }
        }
        if batch.is_empty() {
            continue;
        }
        let answer = client.commit(batch.clone()).await;
        match (answer, first_wrong) {
            (Ok(_), None) => {
                (rows, gone) = (after, after_gone);
                done += 1;
            }
            (Err(error), Some(_)) => {
                let known = ["ROW_NOT_FOUND", "PRECONDITION_FAILED", "UNIQUE_VIOLATION"];
                assert!(known.contains(&error.reason()), "{error:?}");
                refused += 1;
            }
            (answer, wrong) => {
                panic!("seed {seed}, round {round}: {answer:?}, but the model says {wrong:?}: {batch:#?}")
            }
        }
        let held: BTreeMap<String, Row> = client
            .get_all::<Product>(&ids)
            .await
            .into_iter()
            .map(|product| (product.id, (product.stock.into(), product.name, product.version)))
            .collect();
        assert_eq!(held, rows, "seed {seed}, round {round}: {batch:#?}");
        if gone.len() > 3 {
            // Fresh rows, so that not everything is deleted in the end.
            for id in std::mem::take(&mut gone) {
                let row = Product { id: id.clone(), name: "back".into(), ..Product::default() };
                let version = client.commit(vec![upsert(&row)]).await.unwrap().results[0].version;
                rows.insert(id, (0, "back".into(), version));
            }
        }
    }
    assert!(done > 50 && refused > 20, "too one-sided to show anything: {done} done, {refused} refused");
}
