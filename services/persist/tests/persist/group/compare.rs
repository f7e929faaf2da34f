//! What was committed together is compared with the same commits one by one: answers, rows, change log, events and keys.

use std::collections::{BTreeSet, HashMap};

use artel_proto::persist::mutation::Change;
use artel_proto::persist::{CommitRequest, CommitResponse, MutationResult};
use artel_util::Error;
use futures::future::join_all;

use super::random::{Asked, Random};
use super::{grouping, positions};
use crate::support::*;

/// An answer without what differs from database to database.
fn told(asked: &Asked, answer: &Result<CommitResponse, Error>) -> String {
    let inserts =
        asked.request.mutations.iter().filter(|mutation| matches!(mutation.change, Some(Change::Insert(_))));
    match answer {
        // Which of several keys that are taken is told is left open.
        Err(error) if error.reason() == "UNIQUE_VIOLATION" && inserts.count() > 1 => {
            error.reason().to_owned()
        }
        Ok(answer) => format!(
            "{:?}, {} events, replayed: {}, {:?}",
            answer.results,
            answer.event_ids.len(),
            answer.replayed,
            answer.answer
        ),
        Err(error) => {
            let known = ["mutation", "entity", "id", "condition", "field", "fields", "actual", "references"];
            let details: Vec<_> = known.iter().filter_map(|key| Some((key, error.get(key)?))).collect();
            format!("{:?} {error} {details:?}", error.code())
        }
    }
}

/// All that a database holds of its commits, times and numbers of transactions left out.
async fn held(bench: &Bench) -> Vec<String> {
    let client = bench.database.superuser().await.unwrap();
    let mut held = Vec::new();
    for (what, columns) in [
        ("categories t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        (
            "products t ORDER BY t.workspace_id, t.id",
            "(to_jsonb(t) - '{create_time,update_time,delete_time,search}'::text[]) \
             || jsonb_build_object('deleted', t.delete_time IS NOT NULL, 'ordered', t.create_time <= t.update_time)",
        ),
        ("orders t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        ("feed_offers t ORDER BY t.workspace_id, t.id", "to_jsonb(t) - 'update_time'"),
        ("users t ORDER BY t.id", "to_jsonb(t) - '{create_time,update_time}'::text[]"),
        (
            "change_log t ORDER BY t.workspace_id, t.position",
            "jsonb_build_array(t.workspace_id, t.entity, t.entity_id, t.operation, t.version, t.ordinal,
                t.actor_user, t.actor_service, t.before, t.after)",
        ),
        (
            "outbox t ORDER BY t.workspace_id, t.position",
            "jsonb_build_array(t.workspace_id, t.type, t.name, t.key, t.body, t.actor_user, t.actor_service)",
        ),
        (
            "idempotency t WHERE NOT starts_with(t.key, 'commit/') ORDER BY t.workspace_id, t.key",
            "jsonb_build_array(t.workspace_id, t.key, t.digest, t.answer)",
        ),
    ] {
        let rows = client.query(&format!("SELECT ({columns})::text FROM {what}"), &[]).await.unwrap();
        let table = what.split(' ').next().unwrap();
        held.extend(rows.iter().map(|row| format!("{table} {}", row.get::<_, String>(0))));
    }
    held
}

async fn together(bench: &Bench, asked: &[Asked]) -> Vec<Result<CommitResponse, Error>> {
    let (one, other) = (bench.client(), bench.client_in(OTHER));
    let send = |asked: &Asked| {
        let client = if asked.workspace == WORKSPACE { one.clone() } else { other.clone() };
        let request = asked.request.clone();
        async move { client.send(request).await }
    };
    join_all(asked.iter().map(send)).await
}

async fn one_by_one(bench: &Bench, asked: &[Asked]) -> Vec<Result<CommitResponse, Error>> {
    let mut answers = Vec::new();
    for asked in asked {
        answers.push(bench.client_in(asked.workspace).send(asked.request.clone()).await);
    }
    answers
}

/// What came of the rounds.
#[derive(Debug, Default)]
struct Came {
    done: usize,
    refused: usize,
    transactions: usize,
    reasons: BTreeSet<String>,
}

/// Random rounds: each together on one database, and in the way of `replay` on another. The first difference is the error.
async fn compare(
    seed: u64,
    rounds: usize,
    replay: impl AsyncFn(&Bench, &[Asked]) -> Vec<Result<CommitResponse, Error>>,
) -> Result<Came, String> {
    let (grouped, single) = (grouping(1, 256).await, Bench::new().await);
    let mut random = Random::new(seed);
    let mut came = Came::default();
    for round in 0..rounds {
        let asked = if round == 0 { random.start() } else { random.round() };
        let answers = together(&grouped, &asked).await;
        let expected = replay(&single, &asked).await;
        for (index, (answer, expected)) in answers.iter().zip(&expected).enumerate() {
            let (answer, expected) = (told(&asked[index], answer), told(&asked[index], expected));
            if answer != expected {
                let asked = &asked[..=index];
                return Err(format!(
                    "seed {seed}, round {round}, commit {index}:\n{answer}\ninstead of\n{expected}\n{asked:#?}"
                ));
            }
        }
        if let Some((one, other)) =
            held(&grouped).await.into_iter().zip(held(&single).await).find(|(one, other)| one != other)
        {
            return Err(format!("seed {seed}, round {round}:\n{one}\ninstead of\n{other}\n{asked:#?}"));
        }
        let done = answers.iter().flatten().filter(|answer| !answer.replayed);
        came.done += done.clone().count();
        came.transactions += done.map(|answer| answer.position).collect::<BTreeSet<_>>().len();
        came.refused += answers.iter().filter(|answer| answer.is_err()).count();
        let reasons = answers.iter().filter_map(|answer| answer.as_ref().err());
        came.reasons.extend(reasons.map(|error| format!("{} {:?}", error.reason(), error.get("condition"))));
    }
    Ok(came)
}

#[tokio::test]
async fn commits_together_end_as_one_by_one() {
    let seed = rand::random::<u64>();
    let came = compare(seed, 120, one_by_one).await.unwrap_or_else(|difference| panic!("{difference}"));
    println!("seed {seed}: {came:#?}");
    assert!(came.done > 200 && came.refused > 100, "seed {seed}: too one-sided to show anything: {came:?}");
    assert!(came.transactions * 3 < came.done * 2, "seed {seed}: hardly any groups: {came:?}");
    for reason in ["UNIQUE_VIOLATION", "IDEMPOTENCY_KEY_REUSED", "ROW_NOT_FOUND"] {
        assert!(
            came.reasons.iter().any(|other| other.starts_with(reason)),
            "no {reason}, seed {seed}: {came:?}"
        );
    }
    for condition in ["floor", "field", "version", "reference"] {
        let told = format!("{condition:?}");
        assert!(
            came.reasons.iter().any(|other| other.contains(&told)),
            "no {condition}, seed {seed}: {came:?}"
        );
    }
}

/// The order in which commits were done. The numbers of their transactions do not tell: a later one may get a row first.
/// Each writes its log when it has all its rows and what it rests on is committed.
struct Log {
    /// Where a transaction wrote that version of a row; 0 is that it is gone.
    written: HashMap<(i64, String, i64), i64>,
    /// Where a version of a row came to be.
    began: HashMap<(String, i64), i64>,
}

impl Log {
    async fn of(bench: &Bench) -> Self {
        let client = bench.database.superuser().await.unwrap();
        let sql = "SELECT txid, entity_id::text, v.version, position FROM change_log,
            LATERAL (VALUES (version), (CASE WHEN operation = 'delete' THEN 0 END)) v (version)
            WHERE v.version IS NOT NULL ORDER BY position";
        let rows = client.query(sql, &[]).await.unwrap();
        let written = rows.iter().map(|row| ((row.get(0), row.get(1), row.get(2)), row.get(3))).collect();
        let began = rows.iter().map(|row| ((row.get(1), row.get(2)), row.get(3))).collect();
        Self { written, began }
    }

    /// One that only looked at rows comes after the versions that it saw.
    fn place(&self, answer: &CommitResponse) -> (i64, bool) {
        let (mut wrote, mut saw) = (None, None);
        for MutationResult { id, version, .. } in &answer.results {
            let at = self.written.get(&(answer.position, id.clone(), *version)).copied();
            wrote = at.into_iter().chain(wrote).min();
            saw = saw.max(self.began.get(&(id.clone(), *version)).copied());
        }
        wrote.map_or((saw.unwrap_or(i64::MAX), true), |position| (position, false))
    }
}

/// Small groups side by side: what they did is what somebody would see who did it in the order in which they did, and
/// each was answered so.
#[tokio::test]
async fn groups_side_by_side_end_as_one_after_the_other() {
    let seed = rand::random::<u64>();
    let (grouped, single) = (grouping(4, 3).await, Bench::new().await);
    let mut random = Random::new(seed);
    let (mut done, mut transactions) = (0, 0);
    for round in 0..60 {
        let mut asked = if round == 0 { random.start() } else { random.round() };
        asked.extend(random.round());
        let answers = together(&grouped, &asked).await;
        let log = Log::of(&grouped).await;
        let mut accepted: Vec<(&CommitResponse, usize)> = Vec::new();
        for (index, answer) in answers.iter().enumerate() {
            accepted
                .extend(answer.as_ref().ok().filter(|answer| !answer.replayed).map(|answer| (answer, index)));
        }
        accepted.sort_by_key(|(answer, _)| log.place(answer));
        done += accepted.len();
        transactions += positions(accepted.iter().map(|(answer, _)| *answer)).len();
        for (_, index) in accepted {
            let asked = &asked[index];
            let expected = single.client_in(asked.workspace).send(asked.request.clone()).await;
            let (answer, expected) = (told(asked, &answers[index]), told(asked, &expected));
            assert_eq!(answer, expected, "seed {seed}, round {round}, commit {index}: {asked:#?}");
        }
        let sorted = async |bench: &Bench| {
            let mut held = held(bench).await;
            held.sort_unstable();
            held
        };
        assert_eq!(sorted(&grouped).await, sorted(&single).await, "seed {seed}, round {round}: {asked:#?}");
    }
    println!("seed {seed}: {done} commits in {transactions} transactions");
    assert!(done > 300 && transactions < done, "seed {seed}: {done} commits in {transactions} transactions");
}

/// The negative control: merged as one might at first, into one batch of all changes, one commit that fails takes the
/// others with it. The comparison must see it.
#[tokio::test]
async fn the_comparison_sees_a_merge_that_is_too_simple() {
    let merged = async |bench: &Bench, asked: &[Asked]| {
        let mut answers = Vec::new();
        for workspace in [WORKSPACE, OTHER] {
            let own = || asked.iter().filter(|asked| asked.workspace == workspace);
            let all = CommitRequest {
                mutations: own().flat_map(|asked| asked.request.mutations.clone()).collect(),
                events: own().flat_map(|asked| asked.request.events.clone()).collect(),
                idempotency: None,
            };
            if own().next().is_some() {
                answers.push(bench.client_in(workspace).send(all).await);
            }
        }
        answers
    };
    let seed = rand::random();
    assert!(compare(seed, 20, merged).await.is_err(), "seed {seed}: it was not seen");
}

/// The negative control for the order: the same commits the other way round.
#[tokio::test]
async fn the_comparison_sees_another_order() {
    let reversed = async |bench: &Bench, asked: &[Asked]| {
        let reversed: Vec<Asked> = asked.iter().rev().cloned().collect();
        let mut answers = one_by_one(bench, &reversed).await;
        answers.reverse();
        answers
    };
    let seed = rand::random();
    assert!(compare(seed, 40, reversed).await.is_err(), "seed {seed}: it was not seen");
}
