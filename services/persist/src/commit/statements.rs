//! A batch as statements: one for all mutations of one shape, in an order that never deadlocks.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::batch::{Batch, Change, What};
use super::text::{Shape, Verb, lock, text, written};
use crate::caller::Caller;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::sql::Statement;
use crate::value::{self, Array, Kind};

/// The key's record is first: of two batches with one key the second waits here for the first.
const TAKE_KEY: &str = "WITH taken AS (
    INSERT INTO idempotency (workspace_id, key, digest, answer, commit_id, expire_time)
    VALUES ($1, $2, $3, $4, $5, now() + make_interval(secs => $6))
    ON CONFLICT (workspace_id, key) DO NOTHING
    RETURNING txid)
SELECT CASE WHEN EXISTS (SELECT FROM taken) THEN (SELECT txid FROM taken)
            ELSE artel_fail(-1, 'key', '', NULL) END";

const ANNOUNCE: &str = "INSERT INTO outbox (workspace_id, actor_user, actor_service, trace,
    id, type, name, key, body, expire_time)
SELECT $1, $2, $3, $4, e.* FROM unnest($5, $6, $7, $8, $9, $10) AS e";

/// References are checked at the end of the transaction; this makes it the end of its statements.
const CHECK_REFERENCES: &str = "SET CONSTRAINTS ALL IMMEDIATE";

/// What a statement of a commit is for.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Key,
    Lock,
    /// The mutations of these places in the batch.
    Change(Vec<usize>),
    References,
    Events,
}

/// The texts made so far.
#[derive(Debug, Default)]
pub(crate) struct Texts(RwLock<HashMap<(String, Shape), Arc<str>>>);

impl Texts {
    fn get(&self, entity: &Entity, shape: &Shape) -> Arc<str> {
        let key = (entity.name.clone(), shape.clone());
        if let Some(text) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(text);
        }
        let made: Arc<str> = text(entity, shape).into();
        Arc::clone(self.0.write().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert(made))
    }
}

/// The statements of a batch and what each is for.
pub(crate) fn statements(
    plans: &Plans,
    texts: &Texts,
    caller: &Caller,
    batch: &Batch,
    keep: Duration,
) -> Vec<(Step, Statement)> {
    let mut steps = vec![(Step::Key, take_key(caller, batch, keep))];
    let groups = groups(batch);
    let mut locked: Option<&str> = None;
    for ((wave, entity, shape), members) in &groups {
        let first = &batch.changes[members[0]];
        if *wave == 0 && locked != Some(entity) && touches_by_several(&groups, entity) {
            locked = Some(entity);
            steps.push((Step::Lock, lock_rows(caller, &first.entity, batch)));
        }
        let text = texts.get(&first.entity, shape);
        let statement =
            change(text, caller, shape, members.iter().map(|index| (*index, &batch.changes[*index])))
                .named(Name::new(&first.entity.table, shape.verb.name()));
        steps.push((Step::Change(members.clone()), statement));
    }
    if batch.changes.iter().any(|change| moves_references(plans, change)) {
        steps.push((
            Step::References,
            Statement::fixed(CHECK_REFERENCES).named(Name::of("transaction.check_references")),
        ));
    }
    if !batch.events.is_empty() {
        steps.push((Step::Events, announce(caller, batch)));
    }
    steps
}

/// Mutations that go into one statement: of one wave (a row's second mutation comes after its first), one entity and
/// one shape. The order of the groups is the order of the statements.
type Groups<'a> = BTreeMap<(usize, &'a str, Shape), Vec<usize>>;

fn groups(batch: &Batch) -> Groups<'_> {
    let mut groups = Groups::new();
    for (index, change) in batch.changes.iter().enumerate() {
        let key = (change.wave, change.entity.name.as_str(), shape(change));
        groups.entry(key).or_default().push(index);
    }
    // Locks are taken in the order of the keys by the statements themselves; a sorted input also walks the table once.
    for members in groups.values_mut() {
        members.sort_by_key(|index| batch.changes[*index].id);
    }
    groups
}

fn shape(change: &Change) -> Shape {
    let (verb, columns) = match &change.what {
        What::Insert(_) => (Verb::Insert, written(&change.entity)),
        What::Upsert(_) => (Verb::Upsert, written(&change.entity)),
        What::Update(cells) => (Verb::Update, cells.iter().map(|(column, _)| *column).collect()),
        What::Adjust(numbers) => (Verb::Adjust, numbers.iter().map(|number| number.column).collect()),
        What::Delete => (Verb::Delete, Vec::new()),
        What::Check => (Verb::Check, Vec::new()),
    };
    Shape { verb, columns, expected: change.expected.iter().map(|(column, _)| *column).collect() }
}

/// Whether several statements of the first wave lock existing rows of the entity: then each locks in order, but both
/// together do not.
fn touches_by_several(groups: &Groups<'_>, entity: &str) -> bool {
    let first_wave = groups
        .keys()
        .filter(|(wave, other, shape)| *wave == 0 && *other == entity && shape.verb != Verb::Insert);
    first_wave.count() > 1
}

/// Whether a reference could come to point nowhere by this change.
fn moves_references(plans: &Plans, change: &Change) -> bool {
    let own = &change.entity.references;
    match &change.what {
        What::Insert(_) | What::Upsert(_) => !own.is_empty(),
        What::Update(cells) => cells.iter().any(|(column, _)| own.iter().any(|to| to.column == *column)),
        What::Delete => change.entity.delete_time.is_none() && plans.is_referenced(&change.entity),
        What::Adjust(_) | What::Check => false,
    }
}

fn lock_rows(caller: &Caller, entity: &Entity, batch: &Batch) -> Statement {
    let mut ids = Array::new(Kind::Uuid);
    for change in batch.changes.iter().filter(|change| change.wave == 0 && change.entity.name == entity.name)
    {
        ids.push(Some(change.id.as_bytes()));
    }
    let mut statement = Statement::fixed(lock(entity))
        .named(Name::new(&entity.table, "lock"))
        .bind(Kind::Uuid, caller.workspace_cell());
    statement.push_array(ids);
    statement
}

fn take_key(caller: &Caller, batch: &Batch, keep: Duration) -> Statement {
    Statement::fixed(TAKE_KEY)
        .named(Name::of("idempotency.insert"))
        .bind(Kind::Uuid, caller.workspace_cell())
        .bind(Kind::Text, value::text(&batch.key))
        .bind(Kind::Bytes, Some(batch.digest.clone()))
        .bind(Kind::Bytes, Some(batch.answer.to_vec()))
        .bind(Kind::Uuid, Some(batch.commit_id.as_bytes().to_vec()))
        .bind(Kind::Double, Some(keep.as_secs_f64().to_be_bytes().to_vec()))
}

/// `$1` to `$4` of every statement that writes.
fn by(caller: &Caller, text: impl Into<Arc<str>>, trace: &str) -> Statement {
    Statement::fixed(text)
        .bind(Kind::Uuid, caller.workspace_cell())
        .bind(Kind::Text, value::text(&caller.user))
        .bind(Kind::Text, value::text(&caller.service))
        .bind(Kind::Text, value::text(trace))
}

fn change<'a>(
    text: Arc<str>,
    caller: &Caller,
    shape: &Shape,
    members: impl Iterator<Item = (usize, &'a Change)> + Clone,
) -> Statement {
    let mut statement = by(caller, text, &caller.trace);
    let mut add = |kind: Kind, cells: &mut dyn Iterator<Item = value::Cell>| {
        let mut array = Array::new(kind);
        cells.for_each(|cell| array.push(cell.as_deref()));
        statement.push_array(array);
    };
    add(
        Kind::Integer,
        &mut members.clone().map(|(index, _)| value::integer(i32::try_from(index).unwrap_or(i32::MAX))),
    );
    add(Kind::Uuid, &mut members.clone().map(|(_, change)| Some(change.id.as_bytes().to_vec())));
    if shape.verb != Verb::Insert {
        add(Kind::Bigint, &mut members.clone().map(|(_, change)| value::bigint(change.expected_version)));
    }
    for (place, column) in shape.columns.iter().enumerate() {
        let adjusted = |pick: fn(&super::batch::Adjustment) -> Option<i64>| {
            members.clone().map(move |(_, change)| match &change.what {
                What::Adjust(numbers) => pick(&numbers[place]).and_then(value::bigint),
                _ => None,
            })
        };
        if shape.verb == Verb::Adjust {
            add(Kind::Bigint, &mut adjusted(|number| Some(number.amount)));
            add(Kind::Bigint, &mut adjusted(|number| number.floor));
            add(Kind::Bigint, &mut adjusted(|number| number.ceiling));
            continue;
        }
        let Some((_, first)) = members.clone().next() else { continue };
        let carrier = first.entity.columns[*column].carrier();
        add(
            carrier,
            &mut members.clone().map(|(_, change)| match &change.what {
                What::Insert(cells) | What::Upsert(cells) => cells[*column].clone(),
                What::Update(cells) => cells[place].1.clone(),
                _ => None,
            }),
        );
    }
    for (place, column) in shape.expected.iter().enumerate() {
        let Some((_, first)) = members.clone().next() else { continue };
        let kind = first.entity.columns[*column].kind;
        add(kind, &mut members.clone().map(|(_, change)| change.expected[place].1.clone()));
    }
    statement
}

fn announce(caller: &Caller, batch: &Batch) -> Statement {
    let mut statement = by(caller, ANNOUNCE, &caller.traceparent).named(Name::of("outbox.insert"));
    let mut ids = Array::new(Kind::Uuid);
    let mut texts = [Array::new(Kind::Text), Array::new(Kind::Text), Array::new(Kind::Text)];
    let (mut bodies, mut expires) = (Array::new(Kind::Bytes), Array::new(Kind::Timestamp));
    for event in &batch.events {
        ids.push(Some(event.id.as_bytes()));
        for (array, text) in texts.iter_mut().zip([&event.event_type, &event.name, &event.key]) {
            array.push(Some(text.as_bytes()));
        }
        bodies.push(Some(&event.body));
        expires.push(event.expire.as_deref());
    }
    statement.push_array(ids);
    texts.into_iter().for_each(|array| statement.push_array(array));
    statement.push_array(bodies);
    statement.push_array(expires);
    statement
}
