//! Groups and measures: facets, totals, series.

use artel_proto::persist::{AggregateRequest, AggregateResponse, AggregateRow, Measure, MeasureKind};
use artel_util::Error;
use tonic::Code;

use super::bucket::{Buckets, Zones};
use super::filter::{self, Text};
use super::search;
use crate::database::Scope;
use crate::measure::Name;
use crate::plan::{Entity, Plans};
use crate::reads::Reads;
use crate::value::{Kind, bigint, from_cell, moment};

/// Groups where the caller says nothing.
const GROUPS: i64 = 100;
/// Groups at most; a greater number is taken as this.
const MOST_GROUPS: i64 = 1_000;
/// Rows of groups and buckets at most.
const MOST_ROWS: usize = 10_000;

/// Groups and measures.
pub(crate) async fn aggregate(
    reads: &Reads,
    zones: &Zones,
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

    let keys = keys(entity, &request.group_by)?;
    let measures = request.measures.iter().enumerate();
    let measures = measures.map(|(index, asked)| measure(entity, asked, &format!("measures[{index}]")));
    let measures = measures.collect::<Result<Vec<_>, _>>()?;
    let limit = match i64::from(request.limit) {
        0 => GROUPS,
        limit => limit.min(MOST_GROUPS),
    };
    let limit = text.bind(Kind::Bigint, bigint(limit));
    let buckets = match &request.buckets {
        None => None,
        Some(asked) => Some(Buckets::read(reads.database(), zones, entity, asked, &mut text).await?),
    };
    conditions.extend(buckets.iter().flat_map(|buckets| buckets.conditions.clone()));
    let source = format!("{} t{}", entity.table, filter::all(&conditions));
    let (statement, verb) = match &buckets {
        None => (groups(&keys, &measures, &source, &limit), "aggregate"),
        Some(buckets) => (series(&keys, &measures, &source, &limit, buckets), "series"),
    };
    let statement = text.statement(&statement).named(Name::new(&entity.table, verb));
    let rows = reads.long(scope, statement).await?;
    if buckets.is_some() && rows.len() > MOST_ROWS {
        let text = format!(
            "there are more than {MOST_ROWS} rows of groups and buckets; take fewer groups (limit), a greater unit or a shorter time"
        );
        return Err(Error::new(Code::InvalidArgument, "TOO_MANY_BUCKETS", format!("buckets: {text}"))
            .field("buckets", text)
            .with("limit", MOST_ROWS));
    }
    let rows = rows.iter().map(|row| {
        let value = |(index, kind): (usize, Kind)| row.column(index, |cell| from_cell(kind, cell));
        let (places, first) = (keys.len(), keys.len() + usize::from(buckets.is_some()));
        AggregateRow {
            keys: keys.iter().enumerate().map(|(at, key)| value((at, key.1))).collect(),
            measures: measures.iter().enumerate().map(|(at, it)| value((first + at, it.kind))).collect(),
            bucket_time: buckets.as_ref().and_then(|_| row.column(places, |cell| cell.and_then(moment))),
        }
    });
    Ok(AggregateResponse { rows: rows.collect() })
}

/// What rows are grouped by: expressions and types.
fn keys(entity: &Entity, paths: &[String]) -> Result<Vec<(String, Kind)>, Error> {
    let key = |(index, path): (usize, &String)| {
        let field = format!("groupBy[{index}]");
        let column = &entity.columns[entity.queryable(path, &field)?];
        if column.is_list {
            return Err(Error::invalid(field, format!("`{}` is a list and makes no groups", column.path)));
        }
        Ok((column.of("t"), column.kind))
    };
    paths.iter().enumerate().map(key).collect()
}

/// A row a group: the greatest first, those that measure the same in the order of their values.
fn groups(keys: &[(String, Kind)], measures: &[Measured], source: &str, limit: &str) -> String {
    let columns = keys.iter().map(|key| &key.0).chain(measures.iter().map(|measure| &measure.expression));
    let columns = columns.cloned().collect::<Vec<_>>().join(", ");
    let places = |prefix: &str| {
        let places = (1..=keys.len()).map(|place| place.to_string()).collect::<Vec<_>>().join(", ");
        if places.is_empty() { places } else { format!("{prefix}{places}") }
    };
    format!(
        "SELECT {columns} FROM {source}{} ORDER BY {} DESC NULLS LAST{} LIMIT {limit}",
        places(" GROUP BY "),
        keys.len() + 1,
        places(", ")
    )
}

/// A row a group and bucket. Groups and buckets are measured in one pass: what a group measures over all of its time is
/// not the sum of its buckets where different values or means are asked for.
fn series(
    keys: &[(String, Kind)],
    measures: &[Measured],
    source: &str,
    limit: &str,
    buckets: &Buckets,
) -> String {
    let listed = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(", ");
    let then = |list: String| if list.is_empty() { list } else { format!("{list}, ") };
    let bucket = &buckets.expression;
    let expressions = listed(&mut keys.iter().map(|key| key.0.clone()));
    let names = |of: &str| listed(&mut (0..keys.len()).map(|at| format!("{of}k{at}")));
    let own_keys = then(listed(&mut keys.iter().enumerate().map(|(at, key)| format!("{} AS k{at}", key.0))));
    let own_measures = measures.iter().enumerate();
    let own_measures = listed(&mut own_measures.map(|(at, it)| format!("{} AS m{at}", it.expression)));
    let partition = if keys.is_empty() { String::new() } else { format!("PARTITION BY {}", names("")) };
    let order = listed(
        &mut ["\"first\" DESC NULLS LAST".to_owned()]
            .into_iter()
            .chain((0..keys.len()).map(|at| format!("k{at}"))),
    );
    let placed = format!(
        "WITH grouped AS (
            SELECT {own_keys}{bucket} AS bucket, GROUPING({bucket}) AS whole, {own_measures} FROM {source}
            GROUP BY GROUPING SETS (({expressions}), ({}{bucket}))
        ), measured AS (
            SELECT *, max(m0) FILTER (WHERE whole = 1) OVER ({partition}) AS \"first\" FROM grouped
        ), placed AS (
            SELECT *, dense_rank() OVER (ORDER BY {order}) AS place FROM measured
        )",
        then(expressions.clone())
    );
    // One row too many tells that there are too many.
    let most = MOST_ROWS + 1;
    let Some(all) = &buckets.all else {
        let measures = listed(&mut (0..measures.len()).map(|at| format!("m{at}")));
        return format!(
            "{placed} SELECT {}bucket, {measures} FROM placed WHERE whole = 0 AND place <= {limit}
             ORDER BY place, bucket LIMIT {most}",
            then(names(""))
        );
    };
    let filled = listed(&mut measures.iter().enumerate().map(|(at, measure)| {
        let nothing = if measure.is_zero_of_nothing { "0" } else { "NULL" };
        format!("CASE WHEN p.place IS NULL THEN {nothing} ELSE p.m{at} END")
    }));
    format!(
        "{placed} SELECT {}b.bucket, {filled}
         FROM placed s CROSS JOIN ({all}) b
         LEFT JOIN placed p ON p.place = s.place AND p.bucket = b.bucket AND p.whole = 0
         WHERE s.whole = 1 AND s.place <= {limit} ORDER BY s.place, b.bucket LIMIT {most}",
        then(names("s."))
    )
}

/// A measure's expression and type.
struct Measured {
    expression: String,
    kind: Kind,
    /// It is 0 where there is nothing, rather than absent.
    is_zero_of_nothing: bool,
}

fn measure(entity: &Entity, measure: &Measure, at: &str) -> Result<Measured, Error> {
    let measured = |expression: String, kind| {
        let adds = [MeasureKind::Count, MeasureKind::Distinct, MeasureKind::Sum];
        Measured { expression, kind, is_zero_of_nothing: adds.contains(&measure.kind()) }
    };
    if measure.kind() == MeasureKind::Count && measure.field.is_empty() {
        return Ok(measured("count(*)".to_owned(), Kind::Bigint));
    }
    let field = format!("{at}.field");
    let column = &entity.columns[entity.measurable(&measure.field, &field)?];
    let name = column.of("t");
    let is_number = column.is_number() || column.kind == Kind::Double;
    let number = |expression: String, kind| {
        let wrong = || Error::invalid(&field, format!("`{}` is no number", column.path));
        if is_number { Ok(measured(expression, kind)) } else { Err(wrong()) }
    };
    match measure.kind() {
        MeasureKind::Count => Ok(measured(format!("count({name})"), Kind::Bigint)),
        MeasureKind::Distinct => Ok(measured(format!("count(DISTINCT {name})"), Kind::Bigint)),
        MeasureKind::Sum if column.kind == Kind::Double => number(format!("sum({name})"), Kind::Double),
        MeasureKind::Sum => number(format!("sum({name})::bigint"), Kind::Bigint),
        MeasureKind::Avg => number(format!("avg({name})::double precision"), Kind::Double),
        MeasureKind::Min | MeasureKind::Max if matches!(column.kind, Kind::Uuid | Kind::Boolean) => {
            Err(Error::invalid(field, format!("`{}` has no least and no greatest value", column.path)))
        }
        MeasureKind::Min => Ok(measured(format!("min({name})"), column.kind)),
        MeasureKind::Max => Ok(measured(format!("max({name})"), column.kind)),
        MeasureKind::Unspecified => Err(Error::invalid(format!("{at}.kind"), "is required")),
    }
}
