//! Reading: by key, by condition in pages, and in groups. Each is one statement that sees one workspace.

mod aggregate;
mod bucket;
mod filter;
mod get;
mod order;
mod search;
mod token;

use artel_proto::persist::{QueryRequest, QueryResponse};
use artel_util::Error;

pub(crate) use aggregate::aggregate;
pub(crate) use bucket::Zones;
pub(crate) use get::Gets;

use self::filter::Text;
use self::order::Sorting;
use crate::caller::Caller;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::reads::{FRAMED, Reads, framed};
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
    let counted = conditions.clone();
    let count_text = text.clone();

    let sorting = Sorting::read(entity, &request.order_by, words.as_deref())?;
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
    let mut columns = vec![entity.list("t")];
    columns.extend(
        sorting.keys.iter().enumerate().map(|(index, key)| format!("{} AS sort{index}", key.expression)),
    );
    // One more than asked for tells whether there is a next page.
    let limit = text.bind(Kind::Bigint, value::bigint(i64::try_from(size + 1).unwrap_or(i64::MAX)));
    let page = format!(
        "SELECT {} FROM {} t{} ORDER BY {} LIMIT {limit}",
        columns.join(", "),
        entity.table,
        filter::all(&conditions),
        sorting.order_by(),
    );
    let name = |verb| Name::new(&entity.table, verb);
    let page = async {
        if is_short {
            reads.short(scope, text.statement(&framed(&page)).named(name("page"))).await
        } else {
            reads.long(scope, text.statement(&page).named(name("query"))).await
        }
    };
    let total = async {
        if !request.with_total {
            return Ok(None);
        }
        let text = format!("SELECT count(*) FROM {} t{}", entity.table, filter::all(&counted));
        let rows = reads.long(scope, count_text.statement(&text).named(name("count"))).await?;
        Ok(rows.first().and_then(|row| row.column(0, |cell| cell.and_then(read_i64))))
    };
    let (rows, total) = futures::try_join!(page, total)?;
    let (mut items, mut bytes) = (Vec::with_capacity(size.min(rows.len())), 0);
    for row in rows.iter().take(size) {
        let item = message(entity, row)?;
        bytes += item.len();
        if bytes > MOST_BYTES && !items.is_empty() {
            break;
        }
        items.push(item.into());
    }
    let next_page_token = if rows.len() > items.len() {
        let last = &rows[items.len() - 1];
        let cells = (0..sorting.keys.len())
            .map(|index| last.column(entity.columns.len() + index, |cell| cell.map(<[u8]>::to_vec)));
        token::write(caller, request, &cells.collect::<Vec<_>>())
    } else {
        String::new()
    };
    Ok(QueryResponse { items, next_page_token, total })
}

fn message(entity: &Entity, row: &Row) -> Result<Vec<u8>, Error> {
    value::message(entity, row, 0).map_err(Error::internal)
}
