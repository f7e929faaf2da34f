//! Reading: by key, by condition in pages, and in groups. Each is one statement that sees one workspace; only in which
//! workspaces there is something to do is asked of all of them.

mod aggregate;
mod bucket;
mod filter;
mod get;
mod order;
mod search;
mod token;
mod workspaces;

use artel_proto::persist::{QueryRequest, QueryResponse};
use artel_util::Error;
use bytes::Bytes;

pub(crate) use aggregate::aggregate;
pub(crate) use bucket::Zones;
pub(crate) use get::Gets;
pub(crate) use workspaces::workspaces;

use self::filter::Text;
use self::order::Sorting;
use crate::caller::Caller;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::reads::{FRAMED, Reads};
use crate::sql::Row;
use crate::value::{self, Kind, read_i64};

/// Entities a page where the caller says nothing.
const PAGE: usize = 50;
/// Entities a page at most; a greater number is taken as this.
pub(crate) const MOST_ROWS: usize = 1_000;
/// Bytes of the entities in an answer at most, which callers take with room to spare; a page ends before.
const MOST_BYTES: usize = 24 << 20;
/// Entities a page of a short read at most.
const SHORT: usize = 100;

/// Finds entities, a page at a time.
pub(crate) async fn query(
    reads: &Reads,
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
    let mut text = Text::new(scope);
    let mut conditions = entity.visible("t");
    if let Some(condition) = &request.r#where {
        conditions.push(filter::condition(entity, condition, &mut text)?);
    }
    let words = search::words(entity, &request.search, &mut text)?;
    conditions.extend(words.iter().map(|words| format!("t.search @@ {words}")));
    let counted = request.with_total.then(|| (filter::all(&conditions), text.clone()));

    let sorting = Sorting::read(entity, &request.order_by, words.as_deref())?;
    let mut source = format!("{} t", entity.table);
    if sorting.is_ranked() {
        (source, conditions) = search::newest(entity, &conditions, reads.most_ranked(), &mut text);
    }
    let given = filter::given(entity, request.r#where.as_ref());
    let is_short =
        size <= SHORT && words.is_none() && given.is_some_and(|given| sorting.is_led(entity, &given));
    let begins_anywhere = request.page_token.is_empty() || sorting.is_plain();
    if !request.page_token.is_empty() {
        let cells = token::read(caller, request, &sorting)?;
        conditions.push(sorting.after(cells, &mut text));
    }
    let is_short = is_short && begins_anywhere;
    if is_short {
        conditions.push(FRAMED.to_owned());
    }
    // One more than asked for tells whether there is a next page.
    let limit = text.bind(Kind::Bigint, value::bigint(i64::try_from(size + 1).unwrap_or(i64::MAX)));
    let page = format!(
        "SELECT {}{} FROM {source}{} ORDER BY {} LIMIT {limit}",
        entity.list,
        sorting.beside(),
        filter::all(&conditions),
        sorting.order_by(),
    );
    let name = |verb| Name::new(&entity.table, verb);
    let page = async {
        if is_short {
            reads.short(scope, text.statement(&page).named(name("page"))).await
        } else {
            reads.long(scope, text.statement(&page).named(name("query"))).await
        }
    };
    let total = async {
        let Some((conditions, text)) = counted else { return Ok(None) };
        let count = format!("SELECT count(*) FROM {} t{conditions}", entity.table);
        let rows = reads.long(scope, text.statement(&count).named(name("count"))).await?;
        Ok(rows.first().and_then(|row| row.column(0, |cell| cell.and_then(read_i64))))
    };
    let (rows, total) = futures::try_join!(page, total)?;
    let items = items(entity, &rows[..size.min(rows.len())])?;
    let next_page_token = if rows.len() > items.len() {
        token::write(caller, request, &sorting.cells(entity, &rows[items.len() - 1]))
    } else {
        String::new()
    };
    Ok(QueryResponse { items, next_page_token, total })
}

/// The entities of rows, as many as an answer takes. They share what they are written into.
fn items(entity: &Entity, rows: &[Row]) -> Result<Vec<Bytes>, Error> {
    let mut all = Vec::with_capacity(rows.iter().map(Row::size).sum());
    let mut ends = Vec::with_capacity(rows.len());
    for row in rows {
        value::message(entity, row, &mut all).map_err(Error::internal)?;
        if all.len() > MOST_BYTES && !ends.is_empty() {
            break;
        }
        ends.push(all.len());
    }
    let (all, mut begin) = (Bytes::from(all), 0);
    let item = |end| all.slice(std::mem::replace(&mut begin, end)..end);
    Ok(ends.into_iter().map(item).collect())
}

fn message(entity: &Entity, row: &Row) -> Result<Bytes, Error> {
    let mut out = Vec::with_capacity(row.size());
    value::message(entity, row, &mut out).map_err(Error::internal)?;
    Ok(out.into())
}
