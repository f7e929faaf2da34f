//! Reading: by key, by condition in pages, and in groups. Each is one statement, in a transaction that sees one
//! workspace.

mod aggregate;
mod filter;
mod order;
mod search;
mod token;

use artel_proto::persist::{GetRequest, GetResponse, QueryRequest, QueryResponse};
use artel_util::Error;
use uuid::Uuid;

pub(crate) use aggregate::aggregate;

use self::filter::Text;
use self::order::Sorting;
use crate::caller::Caller;
use crate::database::{Database, Scope};
use crate::plan::{Entity, Plans};
use crate::sql::{DriverRow, Statement, with_column};
use crate::value::{self, Array, Kind, read_i64};

/// Entities a page where the caller says nothing.
const PAGE: usize = 50;
/// Entities a page at most; a greater number is taken as this.
const MOST_ROWS: usize = 1_000;

/// Reads entities by key.
pub(crate) async fn get(
    database: &Database,
    plans: &Plans,
    scope: Scope,
    caller: &Caller,
    request: &GetRequest,
) -> Result<GetResponse, Error> {
    let entity = plans.entity(&request.entity, "entity")?;
    let mut ids = Array::new(Kind::Uuid);
    for (index, id) in request.ids.iter().enumerate() {
        let id = value::uuid(id)
            .ok_or_else(|| Error::invalid(format!("ids[{index}]"), "must be a UUID with hyphens"))?;
        ids.push(Some(&id));
    }
    if request.ids.is_empty() {
        return Ok(GetResponse::default());
    }
    let key = entity.columns[entity.key].of("t");
    let mut conditions = entity.visible("t");
    conditions.push(format!("{key} = i.id"));
    // A look into the primary key for each, whatever PostgreSQL believes of the table.
    let text = format!(
        "SELECT t.* FROM unnest($2) AS i (id) CROSS JOIN LATERAL (SELECT {} FROM {} t WHERE {} LIMIT 1) t",
        entity.list("t"),
        entity.table,
        conditions.join(" AND ")
    );
    let mut statement = Statement::fixed(text).bind(Kind::Uuid, caller.workspace_cell());
    statement.push_array(ids);
    let rows = database.read(scope, vec![statement]).await?;
    let mut found: Vec<(Uuid, Vec<u8>)> = Vec::with_capacity(request.ids.len());
    for row in rows.iter().flatten() {
        let id = with_column(row, entity.key, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
        found.push((id.unwrap_or_default(), message(entity, row)?));
    }
    found.sort_unstable_by_key(|(id, _)| *id);
    let wanted = request.ids.iter().filter_map(|id| Uuid::try_parse(id).ok());
    let items = wanted.filter_map(|id| {
        let at = found.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(found[at].1.clone().into())
    });
    Ok(GetResponse { items: items.collect() })
}

/// Finds entities, a page at a time.
pub(crate) async fn query(
    database: &Database,
    plans: &Plans,
    scope: Scope,
    caller: &Caller,
    request: &QueryRequest,
) -> Result<QueryResponse, Error> {
    let entity = plans.entity(&request.entity, "entity")?;
    let size = match usize::try_from(request.page_size).unwrap_or_default() {
        0 => PAGE,
        size => size.min(MOST_ROWS),
    };
    let mut text = Text::new(caller);
    let mut conditions = entity.visible("t");
    if let Some(condition) = &request.r#where {
        conditions.push(filter::condition(entity, condition, &mut text)?);
    }
    let words = search::words(entity, &request.search, &mut text)?;
    conditions.extend(words.iter().map(|words| format!("t.search @@ {words}")));
    let counted = conditions.clone();
    let count_text = text.clone();

    let sorting = Sorting::read(entity, &request.order_by, words.as_deref())?;
    if !request.page_token.is_empty() {
        let cells = token::read(caller, request, &sorting)?;
        conditions.push(sorting.after(cells, &mut text));
    }
    let mut columns = vec![entity.list("t")];
    columns.extend(sorting.keys.iter().map(|key| key.expression.clone()));
    // One more than asked for tells whether there is a next page.
    let limit = text.bind(Kind::Bigint, value::bigint(i64::try_from(size + 1).unwrap_or(i64::MAX)));
    let page = text.statement(&format!(
        "SELECT {} FROM {} t{} ORDER BY {} LIMIT {limit}",
        columns.join(", "),
        entity.table,
        filter::all(&conditions),
        sorting.order_by(),
    ));
    let mut statements = vec![page];
    if request.with_total {
        let text = format!("SELECT count(*) FROM {} t{}", entity.table, filter::all(&counted));
        statements.push(count_text.statement(&text));
    }
    let results = database.read(scope, statements).await?;
    let rows = results.first().map(Vec::as_slice).unwrap_or_default();
    let items = rows.iter().take(size).map(|row| Ok(message(entity, row)?.into()));
    let next_page_token = if rows.len() > size {
        let last = &rows[size - 1];
        let cells = (0..sorting.keys.len())
            .map(|index| with_column(last, entity.columns.len() + index, |cell| cell.map(<[u8]>::to_vec)));
        token::write(caller, request, &cells.collect::<Vec<_>>())
    } else {
        String::new()
    };
    let total = results.get(1).and_then(|rows| rows.first());
    let total = total.and_then(|row| with_column(row, 0, |cell| cell.and_then(read_i64)));
    Ok(QueryResponse { items: items.collect::<Result<_, Error>>()?, next_page_token, total })
}

fn message(entity: &Entity, row: &DriverRow) -> Result<Vec<u8>, Error> {
    value::message(entity, row, 0).map_err(Error::internal)
}
