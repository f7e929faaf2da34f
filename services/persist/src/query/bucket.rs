//! Buckets of time: how a moment is cut, and which buckets there are between two.

use std::collections::HashSet;

use artel_proto::Timestamp;
use artel_proto::persist::{TimeBuckets, TimeUnit};
use artel_util::Error;
use tokio::sync::OnceCell;
use tonic::Code;

use super::filter::Text;
use crate::database::Database;
use crate::failure::Failure;
use crate::measure::Name;
use crate::plan::Entity;
use crate::sql::{Statement, with_column};
use crate::value::{Kind, text, timestamp};

/// Buckets that are filled, at most.
const MOST_BUCKETS: i64 = 1_000;

/// PostgreSQL takes abbreviations and rules for zones, too, and is not asked to: `EST` has no summer, and `ALMT+3` lies
/// to the west.
const NAMES: &str =
    "SELECT name FROM pg_timezone_names WHERE name !~ '^(posix|right)/|^(localtime|posixrules|Factory)$'";

/// The time zones that the database knows.
#[derive(Debug, Default)]
pub(crate) struct Zones(OnceCell<HashSet<String>>);

impl Zones {
    /// The zone's name; refused where there is none of that name.
    async fn checked<'a>(&self, database: &Database, name: &'a str) -> Result<&'a str, Error> {
        if name.is_empty() || name == "UTC" {
            return Ok("UTC");
        }
        // They are read from files, which takes a while, and change when PostgreSQL is updated.
        let names = self.0.get_or_try_init(|| zones(database)).await?;
        if names.contains(name) {
            return Ok(name);
        }
        let wrong = format!("`{name}` is no time zone of the IANA database, such as `Asia/Almaty` or `UTC`");
        Err(Error::invalid("buckets.timeZone", wrong))
    }
}

async fn zones(database: &Database) -> Result<HashSet<String>, Failure> {
    let rows = database.query(Statement::fixed(NAMES).named(Name::of("time_zones.query"))).await?;
    let name =
        |row| with_column(row, 0, |cell| String::from_utf8_lossy(cell.unwrap_or_default()).into_owned());
    Ok(rows.iter().map(name).collect())
}

/// Buckets, as expressions.
pub(super) struct Buckets {
    /// The beginning of a row's bucket.
    pub(super) expression: String,
    /// What holds for a row that is in a bucket.
    pub(super) conditions: Vec<String>,
    /// A table of all of them, with a column `bucket`, where they are to be filled.
    pub(super) all: Option<String>,
}

impl Buckets {
    /// Reads what was asked for. INVALID_ARGUMENT names the field that is wrong or too much.
    pub(super) async fn read(
        database: &Database,
        zones: &Zones,
        entity: &Entity,
        asked: &TimeBuckets,
        parameters: &mut Text,
    ) -> Result<Self, Error> {
        let column = &entity.columns[entity.queryable(&asked.field, "buckets.field")?];
        if column.kind != Kind::Timestamp {
            return Err(Error::invalid("buckets.field", format!("`{}` is no moment", column.path)));
        }
        let (unit, seconds) = unit(asked.unit())?;
        let zone = zones.checked(database, &asked.time_zone).await?;
        let mut moment = |at: &Option<Timestamp>, field: &str| match at {
            None => Ok(None),
            Some(at) => match timestamp(at) {
                Some(cell) => Ok(Some(parameters.bind(Kind::Timestamp, Some(cell)))),
                None => Err(Error::invalid(field, "must be a moment between the years 1 and 9999")),
            },
        };
        let start = moment(&asked.start_time, "buckets.startTime")?;
        let end = moment(&asked.end_time, "buckets.endTime")?;
        let length = match (&asked.start_time, &asked.end_time) {
            (Some(start), Some(end)) if (end.seconds, end.nanos) <= (start.seconds, start.nanos) => {
                return Err(Error::invalid("buckets.endTime", "must be after the startTime"));
            }
            (Some(start), Some(end)) => Some(end.seconds - start.seconds),
            _ => None,
        };
        let zone = parameters.bind(Kind::Text, text(zone));
        let name = column.of("t");
        let mut conditions = vec![format!("{name} IS NOT NULL")];
        conditions.extend(start.iter().map(|start| format!("{name} >= {start}")));
        conditions.extend(end.iter().map(|end| format!("{name} < {end}")));
        let all = match (asked.fill, start.zip(end).zip(length)) {
            (false, _) => None,
            (true, None) => {
                let missing = if asked.start_time.is_none() { "startTime" } else { "endTime" };
                return Err(Error::invalid(format!("buckets.{missing}"), "is required to fill the buckets"));
            }
            (true, Some((_, length))) if length / seconds > MOST_BUCKETS => {
                let text = format!(
                    "at most {MOST_BUCKETS} buckets are filled; take a greater unit or a shorter time"
                );
                return Err(Error::new(
                    Code::InvalidArgument,
                    "TOO_MANY_BUCKETS",
                    format!("buckets: {text}"),
                )
                .field("buckets", text)
                .with("limit", MOST_BUCKETS));
            }
            (true, Some(((start, end), _))) => Some(all(unit, seconds, &zone, &start, &end)),
        };
        Ok(Self { expression: cut(unit, &name, &zone), conditions, all })
    }
}

fn cut(unit: &str, moment: &str, zone: &str) -> String {
    format!("date_trunc('{unit}', {moment}, {zone})")
}

/// The buckets that lie, in whole or in part, between two moments.
fn all(unit: &str, seconds: i64, zone: &str, start: &str, end: &str) -> String {
    let beginnings = if seconds < DAY {
        // Of what lasts less than a day all are as long, wherever the clocks change: what is cut every quarter of an
        // hour is cut in all of them, also where clocks change by half an hour.
        let step = seconds.min(900);
        format!(
            "SELECT {} AS bucket FROM generate_series({start}, {end}, interval '{step} seconds') AS at WHERE at < {end}
             UNION SELECT {}",
            cut(unit, "at", zone),
            cut(unit, &format!("{end} - interval '1 microsecond'"), zone)
        )
    } else {
        let step = if unit == "quarter" { "3 months".to_owned() } else { format!("1 {unit}") };
        format!(
            "SELECT at AT TIME ZONE {zone} AS bucket
             FROM generate_series(date_trunc('{unit}', {start} AT TIME ZONE {zone}),
                 {end} AT TIME ZONE {zone} + interval '1 day', interval '{step}') AS at"
        )
    };
    format!("SELECT DISTINCT bucket FROM ({beginnings}) AS cut WHERE bucket < {end}")
}

const DAY: i64 = 86_400;

/// A unit as PostgreSQL calls it, and its least length in seconds, give or take a change of the clocks.
fn unit(unit: TimeUnit) -> Result<(&'static str, i64), Error> {
    Ok(match unit {
        TimeUnit::Unspecified => return Err(Error::invalid("buckets.unit", "is required")),
        TimeUnit::Minute => ("minute", 60),
        TimeUnit::Hour => ("hour", 3_600),
        TimeUnit::Day => ("day", DAY),
        TimeUnit::Week => ("week", 7 * DAY),
        TimeUnit::Month => ("month", 28 * DAY),
        TimeUnit::Quarter => ("quarter", 90 * DAY),
        TimeUnit::Year => ("year", 365 * DAY),
    })
}
