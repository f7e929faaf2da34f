//! Groups and measures: facets, totals, series.

use artel_proto::persist::{AggregateRequest, AggregateResponse, AggregateRow, Measure, MeasureKind};
use artel_util::Error;

use super::filter::{self, Text};
use super::search;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::reads::Reads;
use crate::value::{Kind, bigint, from_cell};

/// Groups where the caller says nothing.
const GROUPS: i64 = 100;
/// Groups at most; a greater number is taken as this.
const MOST_GROUPS: i64 = 1_000;

/// Groups and measures.
pub(crate) async fn aggregate(
    reads: &Reads,
    plans: &Plans,
    scope: Scope,
    request: &AggregateRequest,
) -> Result<AggregateResponse, Error> {
    let entity = plans.entity(&request.entity, "entity")?;
    let mut text = Text::new(scope);
    let mut conditions = entity.visible("t");
    if let Some(condition) = &request.r#where {
        conditions.push(filter::condition(entity, condition, &mut text)?);
    }
    let words = search::words(entity, &request.search, &mut text)?;
    conditions.extend(words.map(|words| format!("t.search @@ {words}")));

    let mut columns: Vec<(String, Kind)> = Vec::new();
    for (index, path) in request.group_by.iter().enumerate() {
        let field = format!("groupBy[{index}]");
        let column = &entity.columns[entity.queryable(path, &field)?];
        if column.is_list {
            return Err(Error::invalid(field, format!("`{}` is a list and makes no groups", column.path)));
        }
        columns.push((column.of("t"), column.kind));
    }
    let groups = columns.len();
    for (index, measured) in request.measures.iter().enumerate() {
        columns.push(measure(entity, measured, &format!("measures[{index}]"))?);
    }
    let limit = match i64::from(request.limit) {
        0 => GROUPS,
        limit => limit.min(MOST_GROUPS),
    };
    let limit = text.bind(Kind::Bigint, bigint(limit));
    let places =
        |range: std::ops::RangeInclusive<usize>| range.map(|place| place.to_string()).collect::<Vec<_>>();
    let group_by =
        if groups == 0 { String::new() } else { format!(" GROUP BY {}", places(1..=groups).join(", ")) };
    // The greatest first; groups that measure the same in the order of their values.
    let mut order = vec![format!("{} DESC NULLS LAST", groups + 1)];
    order.extend(places(1..=groups));
    let list = columns.iter().map(|(expression, _)| expression.as_str()).collect::<Vec<_>>().join(", ");
    let statement = text.statement(&format!(
        "SELECT {list} FROM {} t{}{group_by} ORDER BY {} LIMIT {limit}",
        entity.table,
        filter::all(&conditions),
        order.join(", "),
    ));
    let rows = reads.long(scope, statement.named(Name::new(&entity.table, "aggregate"))).await?;
    let rows = rows.iter().map(|row| {
        let mut values = columns
            .iter()
            .enumerate()
            .map(|(index, (_, kind))| row.column(index, |cell| from_cell(*kind, cell)));
        let keys = values.by_ref().take(groups).collect();
        AggregateRow { keys, measures: values.collect() }
    });
    Ok(AggregateResponse { rows: rows.collect() })
}

/// The measure's expression and type.
fn measure(entity: &Entity, measure: &Measure, at: &str) -> Result<(String, Kind), Error> {
    if measure.kind() == MeasureKind::Count && measure.field.is_empty() {
        return Ok(("count(*)".to_owned(), Kind::Bigint));
    }
    let field = format!("{at}.field");
    let column = &entity.columns[entity.measurable(&measure.field, &field)?];
    let name = column.of("t");
    let is_number = column.is_number() || column.kind == Kind::Double;
    let number = |result: (String, Kind)| {
        let wrong = || Error::invalid(&field, format!("`{}` is no number", column.path));
        if is_number { Ok(result) } else { Err(wrong()) }
    };
    match measure.kind() {
        MeasureKind::Count => Ok((format!("count({name})"), Kind::Bigint)),
        MeasureKind::Distinct => Ok((format!("count(DISTINCT {name})"), Kind::Bigint)),
        MeasureKind::Sum if column.kind == Kind::Double => Ok((format!("sum({name})"), Kind::Double)),
        MeasureKind::Sum => number((format!("sum({name})::bigint"), Kind::Bigint)),
        MeasureKind::Avg => number((format!("avg({name})::double precision"), Kind::Double)),
        MeasureKind::Min | MeasureKind::Max if matches!(column.kind, Kind::Uuid | Kind::Boolean) => {
            Err(Error::invalid(field, format!("`{}` has no least and no greatest value", column.path)))
        }
        MeasureKind::Min => Ok((format!("min({name})"), column.kind)),
        MeasureKind::Max => Ok((format!("max({name})"), column.kind)),
        MeasureKind::Unspecified => Err(Error::invalid(format!("{at}.kind"), "is required")),
    }
}
