use artel_client::Call;
use artel_handle::Live;
use artel_proto::Timestamp;
use artel_proto::persist::Operator;
use artel_proto::statistics::statistics_service_server::StatisticsService;
use artel_proto::statistics::{
    GetReportRequest, GetReportResponse, GetTodayRequest, GetTodayResponse, OrderFact, Report,
};
use artel_repo::{Direction, Filter, Query, Repo};
use artel_util::Error;
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, TimeDelta, Utc};
use tonic::{Request, Response, Status};

use crate::error::Refusal;
use crate::recent::Recent;
use crate::report::{Counter, day};
use crate::settings::Settings;

/// The longest period.
const DAYS: i64 = 92;
/// Rows read at once.
const PAGE: i32 = 1_000;

/// The gRPC methods of `statistics`.
pub(crate) struct Numbers {
    repo: Repo,
    settings: Live<Settings>,
    recent: Recent,
}

impl Numbers {
    pub(crate) fn new(repo: Repo, settings: Live<Settings>) -> Self {
        Self { repo, settings, recent: Recent::default() }
    }

    /// The report of a period: from the beginning of today where no beginning is given, until now where no end is.
    async fn report(
        &self,
        call: &Call,
        start: Option<DateTime<Utc>>,
        end: Option<DateTime<Utc>>,
    ) -> Result<Report, Error> {
        let settings = self.settings.get();
        let clock = settings.clock().map_err(Error::internal)?;
        let now = Utc::now();
        let (from, until) = (start.unwrap_or_else(|| day(now, clock)), end.unwrap_or(now));
        // Where the end is named and the beginning is not, it is the beginning that is not where it is expected.
        if until < from || (until == from && end.is_some()) {
            return Err(Refusal::Backwards.into());
        }
        if until - from > TimeDelta::days(DAYS) {
            return Err(Refusal::TooLong { days: DAYS }.into());
        }
        let moment = |time: DateTime<Utc>| time.timestamp_micros();
        // Today's report of a minute ago begins where this one does, and yesterday's does not.
        let period = (call.workspace.clone(), moment(from), end.map(moment));
        let make = async || {
            let mut counter = Counter::new(clock);
            let most = settings.max_orders;
            self.each(call, "place_time", from, until, most, |fact| counter.placed(fact)).await?;
            self.each(call, "pay_time", from, until, most, |fact| counter.paid(fact)).await?;
            let (report, left_out) = counter.report(from, until);
            if left_out > 0 {
                tracing::warn!(
                    left_out,
                    currency = report.currency,
                    "orders in other currencies are not in the report"
                );
            }
            Ok(report)
        };
        self.recent.get(period, settings.cache(), make).await
    }

    /// Hands over the orders with the moment in the period, a page at a time.
    async fn each(
        &self,
        call: &Call,
        field: &str,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        most: usize,
        mut take: impl FnMut(&OrderFact),
    ) -> Result<(), Error> {
        let (mut token, mut taken) = (String::new(), 0);
        loop {
            let query = Query::new()
                .filter(Filter::compare(field, Operator::GreaterOrEqual, [from_chrono(from).into()]))
                .filter(Filter::compare(field, Operator::Less, [from_chrono(until).into()]))
                .order(field, Direction::Ascending)
                .page(PAGE, token);
            let page = self.repo.query::<OrderFact>(call, query).await?;
            taken += page.items.len();
            if taken > most {
                return Err(Refusal::TooMany { most }.into());
            }
            page.items.iter().for_each(&mut take);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(());
            }
        }
    }
}

#[tonic::async_trait]
impl StatisticsService for Numbers {
    async fn get_report(
        &self,
        request: Request<GetReportRequest>,
    ) -> Result<Response<GetReportResponse>, Status> {
        let (call, asked) = (Call::of(&request)?, request.get_ref());
        if !asked.organization_id.eq_ignore_ascii_case(&call.workspace) {
            return Err(Error::from(Refusal::NoSuchOrganization).into());
        }
        let start = moment(asked.start_time.as_ref(), "startTime")?;
        let end = moment(asked.end_time.as_ref(), "endTime")?;
        let report = self.report(call, start, end).await?;
        Ok(Response::new(GetReportResponse { report: Some(report) }))
    }

    async fn get_today(
        &self,
        request: Request<GetTodayRequest>,
    ) -> Result<Response<GetTodayResponse>, Status> {
        let report = self.report(Call::of(&request)?, None, None).await?;
        Ok(Response::new(GetTodayResponse { report: Some(report) }))
    }
}

fn moment(time: Option<&Timestamp>, field: &'static str) -> Result<Option<DateTime<Utc>>, Error> {
    // Beyond these neither clocks nor PostgreSQL's timestamps need to go.
    let sane = |time: &DateTime<Utc>| (1..=9_999).contains(&chrono::Datelike::year(time));
    match time {
        None => Ok(None),
        Some(time) => {
            let time = to_chrono(time).filter(sane).ok_or(Refusal::NoMoment { field })?;
            Ok(Some(time))
        }
    }
}
