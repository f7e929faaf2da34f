//! In which workspaces there is something to do: for jobs that look after all of them. Which rows there are is then read
//! in each workspace by itself.

use artel_proto::persist::{ListWorkspacesRequest, ListWorkspacesResponse};
use artel_util::Error;
use uuid::Uuid;

use super::filter::{self, Text};
use crate::caller::Caller;
use crate::database::{Database, Scope};
use crate::measure::Name;
use crate::plan::{Plans, WORKSPACE};
use crate::sql::with_column;
use crate::value::{self, Kind};

/// Workspaces a page where the caller says nothing.
const PAGE: usize = 200;
/// Workspaces a page at most; a greater number is taken as this.
const MOST: usize = 1_000;

/// The workspaces that have rows of an entity which match. As the role that sees all of them.
pub(crate) async fn workspaces(
    system: &Database,
    plans: &Plans,
    scope: Scope,
    caller: &Caller,
    request: &ListWorkspacesRequest,
) -> Result<ListWorkspacesResponse, Error> {
    let entity = plans.entity(&request.entity, "entity")?;
    if !entity.scoped {
        return Err(Error::invalid("entity", "is global: its rows are of no workspace"));
    }
    let size = match usize::try_from(request.page_size).unwrap_or_default() {
        0 => PAGE,
        size => size.min(MOST),
    };
    let mut text = Text::new(scope);
    let mut conditions = entity.present("t");
    if let Some(condition) = &request.r#where {
        conditions.push(filter::condition(entity, condition, &mut text)?);
    }
    if !request.page_token.is_empty() {
        let wrong = || Error::invalid("pageToken", "is not what the page before gave");
        let last = value::uuid(&request.page_token).ok_or_else(wrong)?;
        let last = text.bind(Kind::Uuid, Some(last));
        conditions.push(format!("t.{WORKSPACE} > {last}"));
    }
    let limit = text.bind(Kind::Bigint, value::bigint(i64::try_from(size + 1).unwrap_or(i64::MAX)));
    let listed = format!(
        "SELECT DISTINCT t.{WORKSPACE} FROM {} t{} ORDER BY 1 LIMIT {limit}",
        entity.table,
        filter::all(&conditions),
    );
    let statement = text.statement(&listed).named(Name::new(&entity.table, "workspaces"));
    let rows = system.read(scope, vec![statement]).await?.pop().unwrap_or_default();
    tracing::debug!(service = caller.service, entity = entity.name, "looked into all workspaces");
    let id = |row| with_column(row, 0, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
    let mut found: Vec<String> = rows.iter().filter_map(id).map(|id| id.to_string()).collect();
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| more).cloned().unwrap_or_default();
    Ok(ListWorkspacesResponse { workspace_ids: found, next_page_token: next })
}
