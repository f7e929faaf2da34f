//! `artel replay`: an operator has past events sent to one service once more.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{CancelReplayRequest, ReplayRequest, ReplayResponse};
use artel_util::{new_id, time};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::events;
use crate::operator::Operator;
use crate::role::said;

/// What is done about a replay.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Send past events to a service's queue, or go on where that was interrupted
    #[command(after_help = "Examples:\n  \
        artel replay run notify order.placed --since 7d --dry-run   how many there are\n  \
        artel replay run notify order.placed --since 2026-11-01T00:00:00Z --until 1d\n  \
        artel replay run notify order.placed --force                have it all done once more")]
    Run(Run),
    /// End a replay for good
    #[command(after_help = "Example: artel replay cancel 019a9d2c-4c55-7b0a-8f0e-2f6f3f5b7a11")]
    Cancel {
        /// The replay's id
        id: String,
    },
}

/// Which events, and to whom.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The service that is to hear them; nobody else does
    service: String,
    /// The events' names; `artel events` lists them
    #[arg(required = true)]
    events: Vec<String>,
    /// Only what happened since: a moment (RFC 3339) or how long ago (`30m`, `12h`, `7d`) [default: all that is kept]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Only what happened before: a moment or how long ago [default: now]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Only events of this workspace [default: of all]
    #[arg(long, value_name = "UUID")]
    workspace: Option<String>,
    /// Send them under new ids: the service does everything once more that it did about them
    #[arg(long)]
    force: bool,
    /// Only count them
    #[arg(long)]
    dry_run: bool,
    /// The id of a replay that was interrupted, to go on with it; `--since` and `--until` are as they were
    #[arg(long, value_name = "UUID")]
    id: Option<String>,
}

/// Does it in the mesh that the endpoints file names.
///
/// # Errors
/// Where the mesh is not found or refuses, and where the service does not listen to an event.
pub(crate) async fn run(action: Action, endpoints: &Path) -> anyhow::Result<()> {
    let operator = Operator::connect(endpoints)?;
    let mut persist = PersistServiceClient::new(operator.channels.to("persist"));
    match action {
        Action::Run(run) => {
            hears(&run).await?;
            let id = run.id.clone().unwrap_or_else(new_id);
            let (dry_run, service) = (run.dry_run, run.service.clone());
            let request = operator.call.request(run.request(&id));
            let mut progress = persist.replay(request).await.map_err(said)?.into_inner();
            let mut last = ReplayResponse::default();
            let bar = bar();
            while let Some(now) = progress.message().await.map_err(|status| interrupted(&id, status))? {
                bar.set_length(u64::try_from(now.found_count).unwrap_or_default());
                bar.set_position(u64::try_from(now.sent_count).unwrap_or_default());
                last = now;
            }
            bar.finish_and_clear();
            println!("{}", summary(&last, &id, &service, dry_run)?);
        }
        Action::Cancel { id } => {
            let request = operator.call.request(CancelReplayRequest { replay_id: id });
            let left = persist.cancel_replay(request).await.map_err(said)?.into_inner();
            let what = if left.cancelled { "is cancelled" } else { "was done before" };
            println!("The replay {what}: {} of {} events were sent.", left.sent_count, left.found_count);
        }
    }
    Ok(())
}

impl Run {
    fn request(self, id: &str) -> ReplayRequest {
        ReplayRequest {
            replay_id: id.to_owned(),
            service: self.service,
            events: self.events,
            start_time: self.since.map(time::from_chrono),
            end_time: self.until.map(time::from_chrono),
            workspace_id: self.workspace.unwrap_or_default(),
            force: self.force,
            dry_run: self.dry_run,
        }
    }
}

/// What a service does not listen to would end among its dead letters.
async fn hears(run: &Run) -> anyhow::Result<()> {
    let listeners = events::listeners().await?;
    let heard: Vec<&str> = listeners
        .iter()
        .filter(|(_, services)| services.contains(&run.service.as_str()))
        .map(|(event, _)| *event)
        .collect();
    ensure!(!heard.is_empty(), "{} is no service that listens to events; see `artel events`", run.service);
    match run.events.iter().find(|event| !heard.contains(&event.as_str())) {
        Some(event) => bail!("{} does not listen to `{event}`, but to {}", run.service, heard.join(", ")),
        None => Ok(()),
    }
}

/// A moment, or how long ago it was.
fn moment(text: &str) -> anyhow::Result<DateTime<Utc>> {
    if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
        return Ok(moment.to_utc());
    }
    let (count, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let count: u32 = count.parse().with_context(|| {
        format!("`{text}` is neither a moment like 2026-11-01T09:00:00Z nor like 7d, 12h or 30m")
    })?;
    let ago = match unit {
        "m" => TimeDelta::minutes(count.into()),
        "h" => TimeDelta::hours(count.into()),
        "d" => TimeDelta::days(count.into()),
        _ => bail!("`{text}` has no unit: 7d, 12h or 30m"),
    };
    Utc::now().checked_sub_signed(ago).with_context(|| format!("`{text}` is too long ago"))
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos} of {len} events  {per_sec}  {eta} left");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn summary(last: &ReplayResponse, id: &str, service: &str, dry_run: bool) -> anyhow::Result<String> {
    if dry_run {
        return Ok(format!("{} events would be sent to {service}.", last.found_count));
    }
    let sent =
        format!("{} of {} events were sent to {service} (replay {id})", last.sent_count, last.found_count);
    if last.cancelled {
        bail!("the replay was cancelled: {sent}");
    }
    ensure!(last.done, "the replay was interrupted: {sent}. Go on with `--id {id}`");
    Ok(format!("{sent}."))
}

fn interrupted(id: &str, status: tonic::Status) -> anyhow::Error {
    said(status).context(format!("the replay was interrupted; go on with `--id {id}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_or_how_long_ago_it_was() {
        assert_eq!(moment("2026-11-01T09:00:00+03:00").unwrap().to_rfc3339(), "2026-11-01T06:00:00+00:00");
        for (text, minutes) in [("30m", 30), ("12h", 720), ("7d", 10_080)] {
            assert_eq!((Utc::now() - moment(text).unwrap()).num_minutes(), minutes, "{text}");
        }
        for wrong in ["", "7", "d", "-7d", "7w", "7д", "yesterday", "2026-11-01"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
