//! One attempt at a group, in two goes. The first takes the keys, and locks and reads the rows. What becomes of each
//! batch is then decided here. The second writes what the accepted ones left, and commits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use artel_proto::persist::{CommitResponse, MutationResult};
use uuid::Uuid;

use super::apply::Applied;
use super::join::Joins;
use super::member::{Claim, Member, Verdict};
use super::recall::Record;
use super::refusal;
use super::rows::Tables;
use super::statements;
use super::text::{Form, Texts};
use crate::database::{Database, Scope};
use crate::failure::Failure;
use crate::plan::{Entity, Plans};
use crate::sql::{DriverRow, Statement, with_column};
use crate::transaction::{self, Failed, Go, Transaction};
use crate::value::{Cell, read_i64};

/// An attempt at the commits of a group, which are of one workspace and in the order in which they came.
pub(super) struct Attempt<'a> {
    pub(super) database: &'a Database,
    pub(super) plans: &'a Plans,
    pub(super) texts: &'a Texts,
    pub(super) scope: Scope,
    /// How long to wait for a row; not limited where that is nothing.
    pub(super) lock: Duration,
    pub(super) members: &'a [Member],
    /// Rows that are to be inserted are looked for, too.
    pub(super) reads_all: bool,
}

/// How an attempt ended that did not fail.
pub(super) enum Outcome {
    /// What became of each member.
    Done(Vec<Verdict>),
    /// An earlier attempt at the same group, whose answer was lost, was committed.
    WasDone,
}

/// Why an attempt failed, and how far it was. Nothing of it counts, unless it was sent to be committed.
#[derive(Debug)]
pub(super) struct Aborted {
    pub(super) failure: Failure,
    pub(super) stage: Stage,
}

/// How far an attempt was.
#[derive(Debug)]
pub(super) enum Stage {
    /// The keys were not taken yet.
    Keys,
    /// The keys were taken, so no earlier attempt at the group was committed.
    Rows,
    /// The rows of this entity were being written.
    Writes(Arc<Entity>),
    /// COMMIT was sent and its answer lost. If it was done, this became of each member.
    Sent(Vec<Verdict>),
}

/// A member that keeps a record of its key: every one with a key of its caller's, and one for all that have none, which
/// tells whether the group was committed.
fn keeps_record(members: &[Member]) -> Vec<&Member> {
    let unkeyed = members.iter().find(|member| !member.batch.keyed);
    let mut keeping: Vec<&Member> =
        members.iter().filter(|member| member.batch.keyed).chain(unkeyed).collect();
    keeping.sort_unstable_by(|one, other| one.batch.key.cmp(&other.batch.key));
    keeping
}

/// The same of those that joined a group. A record that tells whether it was committed is kept whatever became of its
/// commit: whoever looks for it does not know that.
fn keeps_record_beside<'a>(
    group: &[Member],
    late: &'a [Member],
    accepted: impl Iterator<Item = &'a Member>,
) -> Vec<&'a Member> {
    let told = group.iter().any(|member| !member.batch.keyed);
    let unkeyed = late.iter().find(|member| !told && !member.batch.keyed);
    let mut keeping: Vec<&Member> = accepted.filter(|member| member.batch.keyed).chain(unkeyed).collect();
    keeping.sort_unstable_by(|one, other| one.batch.key.cmp(&other.batch.key));
    keeping
}

impl Attempt<'_> {
    /// Others who join are put into `late`; what becomes of them comes after what becomes of the members.
    pub(super) async fn run(
        &self,
        joins: Option<Joins<'_>>,
        late: &mut Vec<Member>,
    ) -> Result<Outcome, Aborted> {
        let at_keys = |failure| Aborted { failure, stage: Stage::Keys };
        let connection = self.database.connection().await.map_err(at_keys)?;
        let mut transaction = Transaction::on(connection, self.scope.time);
        let result = self.go(&mut transaction, joins, late).await;
        transaction.roll_back().await;
        result
    }

    /// The rows of the group that somebody else has locked. Nothing is kept locked.
    pub(super) async fn locked(&self) -> Result<HashSet<Claim>, Failure> {
        let tables = Tables::of(self.members.iter().map(|member| &member.batch), false);
        let tables: Vec<_> = tables.0.values().filter(|table| table.keys().next().is_some()).collect();
        let mut all = vec![
            transaction::begin("BEGIN"),
            transaction::settings_to_write(self.scope, self.lock, self.members.len() - 1),
        ];
        let first = all.len();
        let workspace = self.scope.workspace;
        all.extend(tables.iter().map(|table| statements::locked(self.texts, workspace, table)));
        all.push(transaction::roll_back());
        let connection = self.database.connection().await?;
        let mut transaction = Transaction::on(connection, self.scope.time);
        let rows = transaction.run(all, Go::End).await.map_err(|failed| failed.failure)?;
        let mut locked = HashSet::new();
        for (table, rows) in tables.iter().zip(&rows[first..]) {
            let id = |row| with_column(row, 0, |cell| cell.and_then(|id| Uuid::from_slice(id).ok()));
            locked.extend(rows.iter().filter_map(id).map(|id| Claim::row(&table.entity, id)));
        }
        Ok(locked)
    }

    async fn go(
        &self,
        transaction: &mut Transaction,
        joins: Option<Joins<'_>>,
        late: &mut Vec<Member>,
    ) -> Result<Outcome, Aborted> {
        let workspace = self.scope.workspace;
        let keeping = keeps_record(self.members);
        let mut tables = Tables::of(self.members.iter().map(|member| &member.batch), self.reads_all);
        let mut all = vec![
            transaction::begin("BEGIN"),
            transaction::settings_to_write(self.scope, self.lock, self.members.len() - 1),
        ];
        let keys = all.len();
        all.extend(statements::take_keys(workspace, &keeping));
        let first = all.len();
        let mut read = Vec::new();
        for (name, table) in &mut tables.0 {
            if let Some(statement) = statements::read(self.texts, workspace, table, Form::Read) {
                all.push(statement);
                read.push(name.clone());
            }
        }
        let failed = |Failed { statement, failure }| Aborted {
            failure,
            stage: if statement < first { Stage::Keys } else { Stage::Rows },
        };
        let rows = transaction.run(all, Go::On).await.map_err(failed)?;
        let now = cell(rows.get(1).and_then(|rows| rows.first()), 0);
        let taken: Vec<&DriverRow> = rows[keys..first].iter().flatten().collect();
        for (name, rows) in read.iter().zip(&rows[first..]) {
            if let Some(table) = tables.0.get_mut(name) {
                rows.iter().for_each(|row| table.take_in(row));
            }
        }
        let known = match self.known(transaction, &keeping, &taken).await? {
            Known::Here(known) => known,
            Known::WasDone => return Ok(Outcome::WasDone),
        };
        let txid = cell(taken.first().copied(), 0);
        let position = txid.as_deref().and_then(read_i64).unwrap_or_default();

        if let Some(joins) = joins.filter(|_| txid.is_some()) {
            self.grow(transaction, joins, &mut tables, late).await?;
        }
        let late: &[Member] = late;

        let mut accepted: Vec<(&Member, Applied)> = Vec::with_capacity(self.members.len() + late.len());
        let mut refused: Vec<&str> = Vec::new();
        let mut verdicts = Vec::with_capacity(self.members.len() + late.len());
        // Those before it have taken their keys.
        let mut first_late = 0;
        for (index, member) in self.members.iter().chain(late).enumerate() {
            let is_late = index >= self.members.len();
            let batch = &member.batch;
            if let Some(record) = known.get(batch.key.as_str()) {
                verdicts.push(record.replay(&batch.digest));
                continue;
            }
            match tables.apply(batch, &now) {
                Ok(applied) => {
                    verdicts.push(Ok(answer(member, &applied, position)));
                    accepted.push((member, applied));
                    first_late += usize::from(!is_late);
                }
                Err(condition) => {
                    refused.extend((batch.keyed && !is_late).then_some(batch.key.as_str()));
                    verdicts.push(Err(refusal::condition(batch, &condition)));
                }
            }
        }
        if accepted.is_empty() {
            return Ok(Outcome::Done(verdicts));
        }
        let (mut all, writes) = self.writes(&tables);
        let joined = accepted[first_late..].iter().map(|(member, _)| *member);
        let keeping = keeps_record_beside(self.members, late, joined);
        all.extend(statements::take_free_keys(workspace, &keeping));
        let batches = accepted.iter().map(|(member, _)| &member.batch);
        all.extend(statements::check_references(self.plans, batches));
        let logged = accepted.iter().map(|(member, applied)| (*member, applied.log.as_slice()));
        all.extend(statements::log(&txid, workspace, logged));
        all.extend(statements::announce(&txid, workspace, accepted.iter().map(|(member, _)| *member)));
        if !refused.is_empty() {
            all.push(statements::free_keys(workspace, refused.into_iter()));
        }
        all.push(transaction::commit());
        match transaction.run(all, Go::End).await {
            Ok(_) => Ok(Outcome::Done(verdicts)),
            Err(Failed { failure: failure @ Failure::Lost(_), .. }) => {
                Err(Aborted { failure, stage: Stage::Sent(verdicts) })
            }
            Err(Failed { statement, failure }) => {
                let stage = writes.into_iter().nth(statement).map_or(Stage::Rows, Stage::Writes);
                Err(Aborted { failure, stage })
            }
        }
    }

    /// Lets those in who came meanwhile.
    async fn grow(
        &self,
        transaction: &mut Transaction,
        joins: Joins<'_>,
        tables: &mut Tables,
        late: &mut Vec<Member>,
    ) -> Result<(), Aborted> {
        loop {
            let first = late.len();
            late.extend(joins.double(self.members, late, tables));
            if late.len() == first {
                break;
            }
            let mut more = tables.of_late(&late[first..]);
            let form = Form::ReadFree;
            let statements: Vec<Statement> = more
                .0
                .values_mut()
                .filter_map(|table| statements::read(self.texts, self.scope.workspace, table, form))
                .collect();
            let rows = match statements.is_empty() {
                true => Vec::new(),
                false => transaction
                    .run(statements, Go::On)
                    .await
                    .map_err(|Failed { failure, .. }| Aborted { failure, stage: Stage::Rows })?,
            };
            let read = more.0.values_mut().filter(|table| table.keys().next().is_some());
            for (table, rows) in read.zip(rows) {
                rows.iter().for_each(|row| table.take_in(row));
            }
            let missing = tables.merge(more);
            let lacks = |member: &Member| member.rows().any(|row| missing.contains(&row));
            if let Some(at) = late[first..].iter().position(lacks) {
                joins.queue.put_back(late.split_off(first + at));
                break;
            }
        }
        let filling = joins.fill(self.members, late, tables);
        if !filling.is_empty() {
            tables.merge(tables.of_late(&filling));
            late.extend(filling);
        }
        Ok(())
    }

    fn writes(&self, tables: &Tables) -> (Vec<Statement>, Vec<Arc<Entity>>) {
        let (mut all, mut entities) = (Vec::new(), Vec::new());
        for table in tables.0.values() {
            for statement in statements::write(self.texts, self.scope.workspace, table) {
                all.push(statement);
                entities.push(Arc::clone(&table.entity));
            }
        }
        (all, entities)
    }

    /// What is remembered of the keys that could not be taken.
    async fn known(
        &self,
        transaction: &mut Transaction,
        keeping: &[&Member],
        taken: &[&DriverRow],
    ) -> Result<Known, Aborted> {
        let id = |row: &&DriverRow| with_column(row, 1, |cell| cell.and_then(|id| Uuid::from_slice(id).ok()));
        let taken: HashSet<Uuid> = taken.iter().filter_map(id).collect();
        let lost = keeping.iter().filter(|member| !taken.contains(&member.batch.commit_id));
        let keys: Vec<&str> = lost.map(|member| member.batch.key.as_str()).collect();
        if keys.is_empty() {
            return Ok(Known::Here(HashMap::new()));
        }
        let statement = Record::statement(self.scope.workspace, keys.iter().copied());
        let rows = transaction
            .run(vec![statement], Go::On)
            .await
            .map_err(|Failed { failure, .. }| Aborted { failure, stage: Stage::Keys })?;
        let records: Vec<Record> = rows.iter().flatten().map(Record::of).collect();
        let is_own =
            |record: &Record| keeping.iter().any(|member| member.batch.commit_id == record.commit_id);
        if records.iter().any(is_own) {
            return Ok(Known::WasDone);
        }
        let records: HashMap<String, Record> =
            records.into_iter().map(|record| (record.key.clone(), record)).collect();
        if keys.iter().any(|key| !records.contains_key(*key)) {
            // Forgotten between the two statements: the key is free again.
            return Err(Aborted { failure: Failure::Conflict, stage: Stage::Keys });
        }
        Ok(Known::Here(records))
    }
}

enum Known {
    Here(HashMap<String, Record>),
    WasDone,
}

fn answer(member: &Member, applied: &Applied, position: i64) -> CommitResponse {
    let batch = &member.batch;
    let results = batch.changes.iter().zip(&applied.versions);
    CommitResponse {
        results: results
            .map(|(change, version)| MutationResult { id: change.id.to_string(), version: *version })
            .collect(),
        event_ids: batch.events.iter().map(|event| event.id.to_string()).collect(),
        position,
        replayed: false,
        answer: batch.answer.clone(),
    }
}

fn cell(row: Option<&DriverRow>, index: usize) -> Cell {
    row.and_then(|row| with_column(row, index, |cell| cell.map(<[u8]>::to_vec)))
}
