//! Statements as text with numbered parameters, run through diesel so that each is prepared once a connection.

use std::collections::HashSet;
use std::error::Error;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::Write as _;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use bytes::BytesMut;
use diesel::expression::expression_types::Untyped;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::row::{Field as _, Row as _};
use diesel::serialize::{IsNull, Output, Result as ToSqlResult, ToSql};
use diesel::sql_types as types;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection};
use futures::TryStreamExt as _;
use futures::future::BoxFuture;
use tokio_postgres::types as postgres;

use crate::failure;
use crate::measure::{Name, Turns};
use crate::value::{Array, Cell, Kind, read_i64};

/// A row as the driver gives it.
pub(crate) type DriverRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// How many different texts built at run time are kept prepared; those beyond are prepared each time, so that no
/// caller can fill the connections' memory with ever new filters.
const MOST_DYNAMIC_TEXTS: usize = 1_000;

/// A row, whichever way it was read.
pub(crate) enum Row {
    /// Through diesel, on a connection of its own.
    Own(DriverRow),
    /// On a connection that reads share.
    Shared(tokio_postgres::Row),
}

/// A statement and its parameters, `$1` first.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    text: Arc<str>,
    binds: Vec<Bind>,
    cached: bool,
    name: Name,
}

/// A parameter: one cell, or an array of cells.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    One(Kind, Raw),
    Many(Kind, Raw),
}

/// A value in PostgreSQL's binary form.
#[derive(Debug, Clone)]
pub(crate) struct Raw(Cell);

impl Statement {
    /// A statement whose text is one of a fixed set.
    pub(crate) fn fixed(text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), binds: Vec::new(), cached: true, name: Name::none() }
    }

    /// The same under a name in the metrics.
    pub(crate) fn named(self, name: Name) -> Self {
        Self { name, ..self }
    }

    /// Whether its text is kept prepared.
    pub(crate) fn is_kept(&self) -> bool {
        self.cached
    }

    pub(crate) fn text(&self) -> &Arc<str> {
        &self.text
    }

    pub(crate) fn binds(&self) -> &[Bind] {
        &self.binds
    }

    /// What it is called in the metrics.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    pub(crate) fn bind(mut self, kind: Kind, cell: Cell) -> Self {
        self.push(kind, cell);
        self
    }

    pub(crate) fn push(&mut self, kind: Kind, cell: Cell) {
        self.binds.push(Bind::One(kind, Raw(cell)));
    }

    pub(crate) fn push_array(&mut self, array: Array) {
        let (kind, bytes) = array.finish();
        self.binds.push(Bind::Many(kind, Raw(Some(bytes))));
    }

    /// The same parameters under a text that depends on what a caller asked for.
    pub(crate) fn with_text(self, text: &str) -> Self {
        Self { text: text.into(), cached: may_be_kept(text), ..self }
    }

    /// Runs the statement by itself, and measures it.
    pub(crate) async fn load(self, connection: &AsyncPgConnection) -> QueryResult<Vec<DriverRow>> {
        let (name, mut turns) = (self.name.clone(), Turns::begin());
        let result = self.run(connection).await;
        turns.ended(&name, Instant::now());
        result.inspect_err(|error| name.failed(failure::kind(error)))
    }

    /// Sends the statement when first polled; statements polled in turn on one connection are pipelined.
    pub(crate) fn run<'conn>(
        self,
        mut connection: &'conn AsyncPgConnection,
    ) -> BoxFuture<'conn, QueryResult<Vec<DriverRow>>> {
        let started = connection.load(self);
        Box::pin(async move { started.await?.try_collect().await })
    }
}

fn may_be_kept(text: &str) -> bool {
    static SEEN: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let hash = hasher.finish();
    seen.contains(&hash) || (seen.len() < MOST_DYNAMIC_TEXTS && seen.insert(hash))
}

/// The bytes of a column; `None` for NULL and for a column that isn't there.
pub(crate) fn with_column<T>(row: &DriverRow, index: usize, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
    match row.get(index) {
        Some(field) => read(field.value().map(|value| value.as_bytes())),
        None => read(None),
    }
}

/// The number in a column of eight bytes; `None` for NULL and for a column that isn't there.
pub(crate) fn number(row: &DriverRow, index: usize) -> Option<i64> {
    with_column(row, index, |cell| cell.and_then(read_i64))
}

impl Row {
    /// About how many bytes it holds.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Own(_) => 256,
            Self::Shared(row) => row.raw_size_bytes() + 64,
        }
    }

    /// The bytes of a column; `None` for NULL and for a column that isn't there.
    pub(crate) fn column<T>(&self, index: usize, read: impl FnOnce(Option<&[u8]>) -> T) -> T {
        match self {
            Self::Own(row) => with_column(row, index, read),
            Self::Shared(row) => {
                let seen = row.try_get::<_, Option<Seen<'_>>>(index);
                read(seen.ok().flatten().map(|seen| seen.0))
            }
        }
    }
}

/// A column's bytes, of whatever type.
struct Seen<'a>(&'a [u8]);

impl<'a> postgres::FromSql<'a> for Seen<'a> {
    fn from_sql(_: &postgres::Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(_: &postgres::Type) -> bool {
        true
    }
}

impl Query for Statement {
    type SqlType = Untyped;
}

/// The text tells statements apart, not the type.
impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut pass: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        if !self.cached {
            pass.unsafe_to_cache_prepared();
        }
        pass.push_sql(&self.text);
        if self.binds.is_empty() {
            return Ok(());
        }
        // diesel writes a placeholder for each parameter it is given, in turn. Ours stand in the text already, some of
        // them twice, so the ones it writes go into a comment.
        pass.push_sql("\n-- ");
        for bind in &self.binds {
            bind.push(&mut pass)?;
        }
        Ok(())
    }
}

impl Bind {
    /// The parameter's type.
    pub(crate) fn sql_type(&self) -> postgres::Type {
        match self {
            Self::One(kind, _) => kind.sql_type(),
            Self::Many(kind, _) => kind.sql_array_type(),
        }
    }

    fn push<'b>(&'b self, pass: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::One(kind, raw) => match kind {
                Kind::Uuid => pass.push_bind_param::<types::Uuid, _>(raw),
                Kind::Text => pass.push_bind_param::<types::Text, _>(raw),
                Kind::Bigint => pass.push_bind_param::<types::BigInt, _>(raw),
                Kind::Integer => pass.push_bind_param::<types::Integer, _>(raw),
                Kind::Boolean => pass.push_bind_param::<types::Bool, _>(raw),
                Kind::Double => pass.push_bind_param::<types::Double, _>(raw),
                Kind::Timestamp => pass.push_bind_param::<types::Timestamptz, _>(raw),
                Kind::Bytes => pass.push_bind_param::<types::Binary, _>(raw),
                Kind::Json => pass.push_bind_param::<types::Jsonb, _>(raw),
            },
            Self::Many(kind, raw) => match kind {
                Kind::Uuid => pass.push_bind_param::<types::Array<types::Uuid>, _>(raw),
                Kind::Text => pass.push_bind_param::<types::Array<types::Text>, _>(raw),
                Kind::Bigint => pass.push_bind_param::<types::Array<types::BigInt>, _>(raw),
                Kind::Integer => pass.push_bind_param::<types::Array<types::Integer>, _>(raw),
                Kind::Boolean => pass.push_bind_param::<types::Array<types::Bool>, _>(raw),
                Kind::Double => pass.push_bind_param::<types::Array<types::Double>, _>(raw),
                Kind::Timestamp => pass.push_bind_param::<types::Array<types::Timestamptz>, _>(raw),
                Kind::Bytes => pass.push_bind_param::<types::Array<types::Binary>, _>(raw),
                Kind::Json => pass.push_bind_param::<types::Array<types::Jsonb>, _>(raw),
            },
        }
    }
}

impl<T> ToSql<T, Pg> for Raw {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> ToSqlResult {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                out.write_all(bytes)?;
                Ok(IsNull::No)
            }
        }
    }
}

impl postgres::ToSql for Bind {
    fn to_sql(
        &self,
        _: &postgres::Type,
        out: &mut BytesMut,
    ) -> Result<postgres::IsNull, Box<dyn Error + Sync + Send>> {
        let (Self::One(_, Raw(cell)) | Self::Many(_, Raw(cell))) = self;
        Ok(match cell {
            None => postgres::IsNull::Yes,
            Some(bytes) => {
                out.extend_from_slice(bytes);
                postgres::IsNull::No
            }
        })
    }

    fn accepts(_: &postgres::Type) -> bool {
        true
    }

    postgres::to_sql_checked!();
}
