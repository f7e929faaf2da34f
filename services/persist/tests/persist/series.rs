//! Buckets of time, by the clocks of a zone.

use artel_client::Call;
use artel_handle::testing::LocalMesh;
use artel_proto::Timestamp;
use artel_proto::order::{Order, OrderStatus};
use artel_proto::persist::{MeasureKind, TimeUnit};
use artel_repo::{Buckets, Group, Measure, Query, Repo};
use artel_util::Error;

use crate::support::*;

/// A moment in UTC: `2024-03-31 01:30`.
fn at(text: &str) -> Timestamp {
    let moment = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    Timestamp { seconds: moment.and_utc().timestamp(), nanos: 0 }
}

fn spelled(at: &Timestamp) -> String {
    chrono::DateTime::from_timestamp(at.seconds, 0).unwrap().format("%Y-%m-%d %H:%M").to_string()
}

/// A shop whose orders were placed at these moments, and the way to them.
struct Shop {
    _bench: Bench,
    _mesh: LocalMesh,
    repo: Repo,
    call: Call,
}

impl Shop {
    async fn with(orders: &[(&str, OrderStatus, i64)]) -> Self {
        let bench = Bench::new().await;
        let orders = orders.iter().enumerate().map(|(index, (time, status, total))| Order {
            status: (*status).into(),
            total: rubles(*total),
            create_time: Some(at(time)),
            ..order(&format!("A-{index}"))
        });
        let all: Vec<_> = orders.map(|order| insert(&order)).collect();
        bench.client().commit(all).await.unwrap();
        let mesh = LocalMesh::start("").await.unwrap();
        mesh.serve(bench.database.persist().await.unwrap()).await.unwrap();
        let host = mesh.host("order");
        let (repo, call) = (Repo::new(host.channel("persist")), Call::by_service("order", WORKSPACE));
        Self { _bench: bench, _mesh: mesh, repo, call }
    }

    async fn placed(times: &[&str]) -> Self {
        let orders: Vec<_> = times.iter().map(|time| (*time, OrderStatus::Placed, 100)).collect();
        Self::with(&orders).await
    }

    async fn series(&self, buckets: Buckets, by: &[&str], limit: i32) -> Result<Vec<Group>, Error> {
        let measures = [
            Measure::count(),
            Measure::of(MeasureKind::Sum, "total.amount_minor"),
            Measure::of(MeasureKind::Max, "total.amount_minor"),
        ];
        self.repo.series::<Order>(&self.call, Query::new(), buckets, by, measures, limit).await
    }

    /// The buckets and how many orders are in each.
    async fn counts(&self, buckets: Buckets) -> Vec<(String, i64)> {
        let groups = self.series(buckets, &[], 0).await.unwrap();
        groups.iter().map(|group| (spelled(group.bucket().unwrap()), group.number(0))).collect()
    }

    async fn refusal(&self, buckets: Buckets) -> (String, String) {
        let error = self.series(buckets, &[], 0).await.unwrap_err();
        (error.fields()[0].field.clone(), error.reason().to_owned())
    }
}

fn counted(buckets: &[(&str, i64)]) -> Vec<(String, i64)> {
    buckets.iter().map(|(bucket, count)| ((*bucket).to_owned(), *count)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_is_as_long_as_the_zone_makes_it() {
    let shop = Shop::placed(&[
        // Berlin: the 31st of March 2024 begins at 23:00 UTC and has 23 hours, the 27th of October has 25.
        "2024-03-30 22:59",
        "2024-03-30 23:00",
        "2024-03-31 21:59",
        "2024-03-31 22:00",
        "2024-10-26 21:59",
        "2024-10-26 22:00",
        "2024-10-27 22:59",
        "2024-10-27 23:00",
        // Almaty went from UTC+6 to UTC+5 at the end of the 29th of February 2024, which so had 25 hours.
        "2024-02-28 17:59",
        "2024-02-28 18:00",
        "2024-02-29 18:59",
        "2024-02-29 19:00",
    ])
    .await;
    let days = |zone: &str, start: &str, end: &str| {
        Buckets::of("create_time", TimeUnit::Day).zone(zone).between(at(start), at(end))
    };
    let spring = days("Europe/Berlin", "2024-03-29 23:00", "2024-04-01 22:00");
    let expected = counted(&[("2024-03-29 23:00", 1), ("2024-03-30 23:00", 2), ("2024-03-31 22:00", 1)]);
    assert_eq!(shop.counts(spring.clone()).await, expected);
    assert_eq!(shop.counts(spring.filled()).await, expected);
    let autumn = days("Europe/Berlin", "2024-10-25 22:00", "2024-10-28 23:00");
    let expected = counted(&[("2024-10-25 22:00", 1), ("2024-10-26 22:00", 2), ("2024-10-27 23:00", 1)]);
    assert_eq!(shop.counts(autumn.clone()).await, expected);
    assert_eq!(shop.counts(autumn.filled()).await, expected);
    let leap = days("Asia/Almaty", "2024-02-27 18:00", "2024-03-01 19:00");
    let expected = counted(&[("2024-02-27 18:00", 1), ("2024-02-28 18:00", 2), ("2024-02-29 19:00", 1)]);
    assert_eq!(shop.counts(leap.clone()).await, expected);
    assert_eq!(shop.counts(leap.filled()).await, expected);
    // The same moments by the clocks of UTC: the control.
    let plain = days("", "2024-03-29 23:00", "2024-04-01 22:00");
    assert_eq!(shop.counts(plain).await, counted(&[("2024-03-30 00:00", 2), ("2024-03-31 00:00", 2)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hour_that_comes_twice_is_two_hours_and_the_one_left_out_is_none() {
    let shop =
        Shop::placed(&["2024-10-27 00:30", "2024-10-27 01:30", "2024-03-31 00:30", "2024-03-31 01:30"]).await;
    let hours = |start: &str, end: &str| {
        let hours = Buckets::of("create_time", TimeUnit::Hour).zone("Europe/Berlin");
        hours.between(at(start), at(end)).filled()
    };
    let expected =
        [("2024-10-26 23:00", 0), ("2024-10-27 00:00", 1), ("2024-10-27 01:00", 1), ("2024-10-27 02:00", 0)];
    assert_eq!(shop.counts(hours("2024-10-26 23:00", "2024-10-27 03:00")).await, counted(&expected));
    let expected = [("2024-03-31 00:00", 1), ("2024-03-31 01:00", 1), ("2024-03-31 02:00", 0)];
    assert_eq!(shop.counts(hours("2024-03-31 00:10", "2024-03-31 02:05")).await, counted(&expected));
    // A day of 23 hours and one of 25.
    assert_eq!(shop.counts(hours("2024-03-30 23:00", "2024-03-31 22:00")).await.len(), 23);
    assert_eq!(shop.counts(hours("2024-10-26 22:00", "2024-10-27 23:00")).await.len(), 25);
    // Hours of a zone that is half an hour beside the others begin at half past.
    let beside = Buckets::of("create_time", TimeUnit::Hour).zone("Asia/Kolkata");
    assert_eq!(shop.counts(beside).await[0], ("2024-03-31 00:30".to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_begin_on_monday_and_greater_units_on_their_first_day() {
    // Sunday, Monday; the last moment of a year in Almaty (UTC+5) and the first of the next.
    let shop =
        Shop::placed(&["2025-06-08 18:59", "2025-06-08 19:00", "2025-12-31 18:59", "2025-12-31 19:00"]).await;
    let by = |unit: TimeUnit| Buckets::of("create_time", unit).zone("Asia/Almaty");
    let weeks = [("2025-06-01 19:00", 1), ("2025-06-08 19:00", 1), ("2025-12-28 19:00", 2)];
    assert_eq!(shop.counts(by(TimeUnit::Week)).await, counted(&weeks));
    let months = [("2025-05-31 19:00", 2), ("2025-11-30 19:00", 1), ("2025-12-31 19:00", 1)];
    assert_eq!(shop.counts(by(TimeUnit::Month)).await, counted(&months));
    let quarters = by(TimeUnit::Quarter).between(at("2025-04-30 12:00"), at("2026-01-01 00:00")).filled();
    let expected =
        [("2025-03-31 19:00", 2), ("2025-06-30 19:00", 0), ("2025-09-30 19:00", 1), ("2025-12-31 19:00", 1)];
    assert_eq!(shop.counts(quarters).await, counted(&expected));
    // Six hours east of Greenwich until the spring of 2024.
    let years = by(TimeUnit::Year).between(at("2023-05-01 00:00"), at("2026-01-01 00:00")).filled();
    let expected =
        [("2022-12-31 18:00", 0), ("2023-12-31 18:00", 0), ("2024-12-31 19:00", 3), ("2025-12-31 19:00", 1)];
    assert_eq!(shop.counts(years).await, counted(&expected));
    let minutes = by(TimeUnit::Minute).between(at("2025-06-08 18:58"), at("2025-06-08 19:01")).filled();
    let expected = [("2025-06-08 18:58", 0), ("2025-06-08 18:59", 1), ("2025-06-08 19:00", 1)];
    assert_eq!(shop.counts(minutes).await, counted(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_groups_of_a_series_are_those_that_measure_most_over_all_of_it() {
    use OrderStatus::{Cancelled, Placed, Unspecified};
    let shop = Shop::with(&[
        ("2025-06-02 10:00", Placed, 5),
        ("2025-06-02 11:00", Placed, 7),
        ("2025-06-04 10:00", Placed, 9),
        ("2025-06-03 10:00", Cancelled, 100),
        ("2025-06-03 11:00", Cancelled, 50),
        ("2025-06-04 11:00", Unspecified, 1),
    ])
    .await;
    let days = Buckets::of("create_time", TimeUnit::Day);
    let rows = async |buckets: Buckets, limit| {
        let groups = shop.series(buckets, &["status"], limit).await.unwrap();
        let row = |group: &Group| {
            let name = group.text(0).trim_start_matches("ORDER_STATUS_").to_owned();
            (name, spelled(group.bucket().unwrap())[8..10].to_owned(), [0, 1, 2].map(|at| group.number(at)))
        };
        groups.iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, day: &str, numbers| (name.to_owned(), day.to_owned(), numbers);
    // By their counts: three, two; the third is one too many.
    let all = vec![
        row("PLACED", "02", [2, 12, 7]),
        row("PLACED", "04", [1, 9, 9]),
        row("CANCELLED", "03", [2, 150, 100]),
    ];
    assert_eq!(rows(days.clone(), 2).await, all);
    let filled = days.clone().between(at("2025-06-02 00:00"), at("2025-06-05 00:00")).filled();
    let all = vec![
        row("PLACED", "02", [2, 12, 7]),
        row("PLACED", "03", [0, 0, 0]),
        row("PLACED", "04", [1, 9, 9]),
        row("CANCELLED", "02", [0, 0, 0]),
        row("CANCELLED", "03", [2, 150, 100]),
        row("CANCELLED", "04", [0, 0, 0]),
    ];
    assert_eq!(rows(filled, 2).await, all);
    assert_eq!(rows(days, 0).await.len(), 4);
    // Nothing at all is still a series where no groups are asked for.
    let later =
        Buckets::of("create_time", TimeUnit::Month).between(at("2030-01-01 00:00"), at("2030-03-01 00:00"));
    let empty = [("2030-01-01 00:00", 0), ("2030-02-01 00:00", 0)];
    assert_eq!(shop.counts(later.clone().filled()).await, counted(&empty));
    assert_eq!(shop.counts(later).await, counted(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_buckets_are_refused_by_field_and_limit() {
    let shop = Shop::placed(&["2025-06-02 10:00"]).await;
    let days = Buckets::of("create_time", TimeUnit::Day);
    for zone in ["Mars/Olympus", "EST5", "ALMT+3", "asia/almaty", "posix/Asia/Almaty", "+05:00", "'; --"] {
        let (field, _) = shop.refusal(days.clone().zone(zone)).await;
        assert_eq!(field, "buckets.timeZone", "{zone}");
    }
    let (start, end) = (at("2025-06-02 10:00"), at("2025-06-03 10:00"));
    let refused = async |buckets| shop.refusal(buckets).await;
    assert_eq!(refused(days.clone().between(end, start)).await.0, "buckets.endTime");
    assert_eq!(refused(days.clone().filled()).await.0, "buckets.startTime");
    assert_eq!(refused(Buckets::of("update_time", TimeUnit::Day)).await.1, "FIELD_NOT_QUERYABLE");
    assert_eq!(refused(Buckets::of("status", TimeUnit::Day)).await.0, "buckets.field");
    assert_eq!(refused(Buckets::of("create_time", TimeUnit::Unspecified)).await.0, "buckets.unit");
    let minutes = Buckets::of("create_time", TimeUnit::Minute).between(start, end).filled();
    assert_eq!(refused(minutes).await, ("buckets".to_owned(), "TOO_MANY_BUCKETS".to_owned()));
    let beyond = Timestamp { seconds: i64::MAX, nanos: 0 };
    assert_eq!(refused(days.between(start, beyond)).await.0, "buckets.endTime");
}
