//! A commit as it was asked for, read against the plans and checked as far as that goes without the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use artel_proto::Message as _;
use artel_proto::persist::{CommitRequest, Delta, Event, Expectation, Mutation, mutation::Change as Asked};
use artel_util::Error;
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::plan::{Entity, Plans, Stamp};
use crate::value::{self, Cell, Kind, Wrong, decode, text_field};

/// Amounts beyond this never fit 32 bits, and within it no sum overflows 64.
const INTEGER_BOUND: i64 = 1 << 33;

/// A commit as it was asked for.
#[derive(Debug)]
pub(crate) struct Batch {
    /// What tells this commit from all others, also when it is sent again after its connection was lost.
    pub(crate) commit_id: Uuid,
    pub(crate) changes: Vec<Change>,
    pub(crate) events: Vec<Happened>,
    /// The caller's idempotency key, or one of its own.
    pub(crate) key: String,
    pub(crate) keyed: bool,
    pub(crate) digest: Vec<u8>,
    pub(crate) answer: Bytes,
}

/// A mutation.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) entity: Arc<Entity>,
    pub(crate) id: Uuid,
    pub(crate) what: What,
    pub(crate) expected_version: i64,
    /// Columns and what they must hold, in the order of the columns.
    pub(crate) expected: Vec<(usize, Cell)>,
}

/// What a mutation does.
#[derive(Debug)]
pub(crate) enum What {
    /// A cell a column.
    Insert(Vec<Cell>),
    /// Columns and cells.
    Update(Vec<(usize, Cell)>),
    Upsert(Vec<Cell>),
    Delete,
    Adjust(Vec<Adjustment>),
    Check,
}

/// A number added to a column.
#[derive(Debug)]
pub(crate) struct Adjustment {
    pub(crate) column: usize,
    pub(crate) amount: i64,
    pub(crate) floor: Option<i64>,
    pub(crate) ceiling: Option<i64>,
}

/// An event on its way to the outbox.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) id: Uuid,
    pub(crate) event_type: String,
    pub(crate) name: String,
    pub(crate) key: String,
    pub(crate) body: Bytes,
    pub(crate) expire: Cell,
}

impl Batch {
    /// Reads a request. INVALID_ARGUMENT names the wrong field.
    pub(crate) fn read(plans: &Plans, mut request: CommitRequest) -> Result<Self, Error> {
        if request.mutations.is_empty() && request.events.is_empty() && request.idempotency.is_none() {
            return Err(Error::invalid("mutations", "the batch is empty"));
        }
        let idempotency = request.idempotency.take();
        let commit_id = Uuid::now_v7();
        let keyed = idempotency.is_some();
        let (key, mut digest, answer) = idempotency.map_or_else(
            || (format!("commit/{commit_id}"), Vec::new(), Bytes::new()),
            |given| (given.key, given.digest.to_vec(), given.answer),
        );
        if key.contains('\0') {
            return Err(Error::invalid("idempotency.key", "must not hold the character NUL"));
        }
        if keyed && digest.is_empty() {
            digest = Sha256::digest(request.encode_to_vec()).to_vec();
        }
        let mut changes = Vec::with_capacity(request.mutations.len());
        for (index, mutation) in request.mutations.into_iter().enumerate() {
            changes.push(Change::read(plans, mutation, &format!("mutations[{index}]"))?);
        }
        let events = request.events.into_iter().enumerate();
        let events = events.map(|(index, event)| Happened::read(plans, event, &format!("events[{index}]")));
        Ok(Self { commit_id, changes, events: events.collect::<Result<_, _>>()?, key, keyed, digest, answer })
    }
}

impl Change {
    fn read(plans: &Plans, mutation: Mutation, at: &str) -> Result<Self, Error> {
        let entity = Arc::clone(plans.entity(&mutation.entity, &format!("{at}.entity"))?);
        let asked = mutation.change.ok_or_else(|| Error::invalid(at, "says no change"))?;
        let body = |body: &[u8], verb: &str| {
            decode(&entity, body).map_err(|wrong| refused(&format!("{at}.{verb}.body"), wrong))
        };
        let mut own_id = None;
        let what = match asked {
            Asked::Insert(insert) => {
                let cells = body(&insert.body, "insert")?;
                own_id = cells[entity.key].clone();
                What::Insert(cells)
            }
            Asked::Upsert(upsert) => {
                let cells = body(&upsert.body, "upsert")?;
                own_id = cells[entity.key].clone();
                What::Upsert(cells)
            }
            Asked::Update(update) => {
                let cells = body(&update.body, "update")?;
                own_id = cells[entity.key].clone().filter(|_| mutation.id.is_empty());
                let mask = update.mask.unwrap_or_default().paths;
                What::Update(masked(&entity, cells, &mask, &format!("{at}.update.mask"))?)
            }
            Asked::Delete(_) => What::Delete,
            Asked::Adjust(adjust) => What::Adjust(adjustments(&entity, &adjust.deltas, at)?),
            Asked::Check(_) => What::Check,
        };
        let is_new = matches!(what, What::Insert(_));
        if is_new && (mutation.expected_version != 0 || !mutation.expectations.is_empty()) {
            return Err(Error::invalid(
                at,
                "an insert has no row before it that anything could be expected of",
            ));
        }
        if mutation.expected_version < 0 {
            return Err(Error::invalid(format!("{at}.expectedVersion"), "must be at least 0"));
        }
        Ok(Self {
            id: key(&mutation.id, own_id, at)?,
            what,
            expected_version: mutation.expected_version,
            expected: expectations(&entity, &mutation.expectations, at)?,
            entity,
        })
    }
}

fn refused(at: &str, wrong: Wrong) -> Error {
    let field = if wrong.field.is_empty() { at.to_owned() } else { format!("{at}.{}", wrong.field) };
    Error::invalid(field, wrong.description)
}

/// The row's key: beside the change, in its body, or the same in both.
fn key(beside: &str, inside: Option<Vec<u8>>, at: &str) -> Result<Uuid, Error> {
    let field = format!("{at}.id");
    let inside = inside.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    let beside = match beside {
        "" => None,
        text => {
            Some(Uuid::try_parse(text).map_err(|_| Error::invalid(&field, "must be a UUID with hyphens"))?)
        }
    };
    match (beside, inside) {
        (Some(beside), Some(inside)) if beside != inside => {
            Err(Error::invalid(field, format!("is {beside}, but the body's is {inside}")))
        }
        (Some(id), _) | (None, Some(id)) => Ok(id),
        (None, None) => Err(Error::invalid(field, "is required")),
    }
}

/// The columns that the mask names, and what is written into them.
fn masked(
    entity: &Entity,
    mut cells: Vec<Cell>,
    mask: &[String],
    at: &str,
) -> Result<Vec<(usize, Cell)>, Error> {
    if mask.is_empty() {
        return Err(Error::invalid(at, "names no field"));
    }
    let mut columns = BTreeMap::new();
    for path in mask {
        let field = entity.fields.iter().find(|field| field.descriptor.name() == path);
        let field = field.filter(|field| field.column != entity.key).ok_or_else(|| {
            let names = entity.fields.iter().filter(|field| field.column != entity.key);
            let names = names.map(|field| field.descriptor.name().to_owned()).collect::<Vec<_>>().join(", ");
            Error::invalid(at, format!("`{path}` cannot be updated; {} has: {names}", entity.name))
        })?;
        for column in entity.columns_of(field) {
            if entity.columns[column].stamp == Stamp::None {
                columns.insert(column, cells[column].take());
            }
        }
    }
    Ok(columns.into_iter().collect())
}

fn adjustments(entity: &Entity, deltas: &[Delta], at: &str) -> Result<Vec<Adjustment>, Error> {
    let mut adjustments: Vec<Adjustment> = Vec::with_capacity(deltas.len());
    for (index, delta) in deltas.iter().enumerate() {
        let field = format!("{at}.adjust.deltas[{index}].field");
        let fits = |column: usize| {
            let column = &entity.columns[column];
            column.is_number() && column.stamp == Stamp::None
        };
        let column = entity.column(&delta.field).filter(|column| fits(*column)).ok_or_else(|| {
            let names = (0..entity.columns.len()).filter(|column| fits(*column));
            let names =
                names.map(|column| entity.columns[column].path.clone()).collect::<Vec<_>>().join(", ");
            Error::invalid(
                &field,
                format!("`{}` is no number of {}; there are: {names}", delta.field, entity.name),
            )
        })?;
        if adjustments.iter().any(|other| other.column == column) {
            return Err(Error::invalid(field, format!("`{}` is adjusted twice", delta.field)));
        }
        let bound = |number: i64| match entity.columns[column].kind {
            Kind::Integer => number.clamp(-INTEGER_BOUND, INTEGER_BOUND),
            _ => number,
        };
        adjustments.push(Adjustment {
            column,
            amount: bound(delta.amount),
            floor: delta.floor.map(bound),
            ceiling: delta.ceiling.map(bound),
        });
    }
    adjustments.sort_by_key(|adjustment| adjustment.column);
    Ok(adjustments)
}

fn expectations(entity: &Entity, asked: &[Expectation], at: &str) -> Result<Vec<(usize, Cell)>, Error> {
    let mut columns: BTreeMap<usize, Cell> = BTreeMap::new();
    for (index, expectation) in asked.iter().enumerate() {
        let field = format!("{at}.expectations[{index}]");
        let column = entity.column(&expectation.field).filter(|column| entity.columns[*column].is_scalar());
        let column = column.ok_or_else(|| {
            let names = entity.columns.iter().filter(|column| column.is_scalar());
            let names = names.map(|column| column.path.clone()).collect::<Vec<_>>().join(", ");
            Error::invalid(
                format!("{field}.field"),
                format!("`{}` cannot be compared; {} has: {names}", expectation.field, entity.name),
            )
        })?;
        let cell = value::to_cell(&entity.columns[column], &expectation.value.clone().unwrap_or_default())
            .map_err(|wrong| Error::invalid(format!("{field}.value"), wrong))?;
        if columns.insert(column, cell).is_some() {
            return Err(Error::invalid(format!("{field}.field"), "is expected to be two things"));
        }
    }
    Ok(columns.into_iter().collect())
}

impl Happened {
    fn read(plans: &Plans, event: Event, at: &str) -> Result<Self, Error> {
        let known = plans
            .event(&event.r#type)
            .ok_or_else(|| Error::invalid(format!("{at}.type"), format!("`{}` is no event", event.r#type)))?;
        let key = text_field(&event.body, known.key.number()).filter(|key| !key.contains('\0'));
        let key =
            key.ok_or_else(|| Error::invalid(format!("{at}.body"), format!("is no {}", event.r#type)))?;
        if key.is_empty() {
            let field = format!("{at}.body.{}", known.key.json_name());
            return Err(Error::invalid(field, "is required: events of one key keep their order"));
        }
        let expire = match &event.expire_time {
            None => None,
            Some(moment) => Some(value::timestamp(moment).ok_or_else(|| {
                Error::invalid(format!("{at}.expireTime"), "is not between the years 1 and 9999")
            })?),
        };
        let key = key.to_owned();
        Ok(Self {
            id: Uuid::now_v7(),
            event_type: event.r#type,
            name: known.name.clone(),
            key,
            body: event.body,
            expire,
        })
    }
}
