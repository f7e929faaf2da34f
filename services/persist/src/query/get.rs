//! Reading by key.

use std::collections::HashMap;

use artel_proto::persist::{GetRequest, GetResponse};
use artel_util::Error;
use bytes::Bytes;
use tonic::Code;
use uuid::Uuid;

use super::{MOST_BYTES, message};
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::reads::{FRAMED, Reads, begun};
use crate::sql::{Row, Statement};
use crate::value::{self, Array, Kind};

/// Keys that a short read may ask for.
const SHORT: usize = 100;

/// The statements that read by key, without their parameters.
#[derive(Debug)]
pub(crate) struct Gets(HashMap<String, Get>);

#[derive(Debug)]
struct Get {
    one: Statement,
    many: Statement,
}

impl Gets {
    /// Of every entity.
    pub(crate) fn of(plans: &Plans) -> Self {
        Self(plans.all().map(|entity| (entity.name.clone(), Get::of(entity))).collect())
    }

    /// Reads entities by key.
    pub(crate) async fn get(
        &self,
        reads: &Reads,
        plans: &Plans,
        scope: Scope,
        request: &GetRequest,
    ) -> Result<GetResponse, Error> {
        let entity = plans.entity(&request.entity, "entity")?;
        let get = self.0.get(&entity.name).ok_or_else(|| Error::internal("an entity without statements"))?;
        let mut ids = Vec::with_capacity(request.ids.len());
        for (index, id) in request.ids.iter().enumerate() {
            let wrong = || Error::invalid(format!("ids[{index}]"), "must be a UUID with hyphens");
            ids.push(value::uuid(id).ok_or_else(wrong)?);
        }
        match &mut ids[..] {
            [] => Ok(GetResponse::default()),
            [id] => {
                let statement = begun(get.one.clone(), scope).bind(Kind::Uuid, Some(std::mem::take(id)));
                let rows = reads.short(scope, statement).await?;
                let items = rows.iter().map(|row| message(entity, row));
                Ok(GetResponse { items: items.collect::<Result<_, Error>>()? })
            }
            ids => {
                let mut array = Array::new(Kind::Uuid);
                ids.iter().for_each(|id| array.push(Some(id)));
                let mut statement = begun(get.many.clone(), scope);
                statement.push_array(array);
                let rows = if ids.len() <= SHORT {
                    reads.short(scope, statement).await?
                } else {
                    reads.long(scope, statement).await?
                };
                in_order(entity, &rows, ids)
            }
        }
    }
}

impl Get {
    fn of(entity: &Entity) -> Self {
        let (columns, table) = (&entity.list, &entity.table);
        let mut conditions = entity.visible("t");
        conditions.extend([FRAMED.to_owned(), format!("{} = ", entity.columns[entity.key].of("t"))]);
        let conditions = conditions.join(" AND ");
        let one = format!("SELECT {columns} FROM {table} t WHERE {conditions} $3 LIMIT 1");
        // A look into the primary key for each, whatever PostgreSQL believes of the table.
        let many = format!(
            "SELECT t.* FROM unnest($3) AS i (id) CROSS JOIN LATERAL
                (SELECT {columns} FROM {table} t WHERE {conditions} i.id LIMIT 1) t"
        );
        let statement = |text: &str| Statement::fixed(text).named(Name::new(&entity.table, "get"));
        Self { one: statement(&one), many: statement(&many) }
    }
}

/// The rows that were found, in the order their keys were asked for.
fn in_order(entity: &Entity, rows: &[Row], ids: &[Vec<u8>]) -> Result<GetResponse, Error> {
    let mut found: HashMap<Uuid, Bytes> = HashMap::with_capacity(rows.len());
    for row in rows {
        let id = row.column(entity.key, |cell| cell.and_then(|cell| Uuid::from_slice(cell).ok()));
        found.insert(id.unwrap_or_default(), message(entity, row)?);
    }
    let items = ids.iter().filter_map(|id| found.get(&Uuid::from_slice(id).ok()?).cloned());
    let items: Vec<Bytes> = items.collect();
    if items.iter().map(Bytes::len).sum::<usize>() > MOST_BYTES {
        let text = format!("their entities are more than {MOST_BYTES} bytes together; ask for fewer at once");
        return Err(Error::new(Code::ResourceExhausted, "ANSWER_TOO_LARGE", format!("ids: {text}"))
            .field("ids", text)
            .with("limit", MOST_BYTES));
    }
    Ok(GetResponse { items })
}
