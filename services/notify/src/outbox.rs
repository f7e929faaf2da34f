//! Sending letters, by whatever channel: claim the row, hand it to the carrier, write down what that said.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_client::Call;
use artel_queue::Failure;
use artel_util::{Error, new_id};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::letter::{Answer, CLAIMED, Letter, Rules, SETTLED, Stage, Turn, after, turn};
use crate::rows::Letters;

/// Letters that one sweep sends side by side.
const SIDE_BY_SIDE: usize = 8;
/// Between attempts to write down what the carrier said.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A note that can't be made for this long never will be.
const NOTE_WITHIN: Duration = Duration::from_secs(3600);

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Takes letters on towards their readers.
#[async_trait]
pub(crate) trait Carrier<L>: Send + Sync + 'static {
    /// Takes a letter on once. The row is as it was claimed: `attempts` counts this sending, too.
    async fn carry(&self, call: &Call, letter: &L) -> Answer;
}

/// A channel that has no provider: what waits for it waits on.
pub(crate) struct Off;

#[async_trait]
impl<L: Letter> Carrier<L> for Off {
    async fn carry(&self, _: &Call, _: &L) -> Answer {
        Answer::NotNow(format!("notify.{}.url is empty", L::CHANNEL))
    }
}

/// Sends letters, each by one sender at a time. Cheap to clone.
pub(crate) struct Outbox<L> {
    letters: Arc<dyn Letters<L>>,
    carrier: Arc<dyn Carrier<L>>,
    rules: Rules,
    clock: Clock,
    /// What was taken, or refused for good, and the row doesn't say yet. While `persist` is away this is the only memory
    /// of it.
    taken: Arc<Mutex<HashSet<String>>>,
}

impl<L> Clone for Outbox<L> {
    fn clone(&self) -> Self {
        Self {
            letters: self.letters.clone(),
            carrier: self.carrier.clone(),
            rules: self.rules,
            clock: self.clock.clone(),
            taken: self.taken.clone(),
        }
    }
}

impl<L: Letter> Outbox<L> {
    pub fn new(letters: Arc<dyn Letters<L>>, carrier: Arc<dyn Carrier<L>>, rules: Rules) -> Self {
        Self { letters, carrier, rules, clock: Arc::new(Utc::now), taken: Arc::default() }
    }

    /// Sends one letter unless it was sent, was given up, or is being sent.
    pub async fn send(&self, call: &Call, id: &str) -> Result<(), Failure> {
        if self.is_taken(id) {
            return later("it was sent; that is still to be written down", Duration::from_secs(1));
        }
        let letter = self.letters.find(call, id).await?;
        let letter = letter.ok_or_else(|| Failure::Permanent(format!("there is no {} {id}", L::CHANNEL)))?;
        let begun = Instant::now();
        let mark = new_id();
        let mut claimed = match turn(&letter, &self.rules, (self.clock)()) {
            Turn::Send(claimed) => *claimed,
            Turn::Wait(wait) => return later("somebody else is sending it", wait),
            Turn::GiveUp(ended) => return Ok(self.note(call, *ended, &mark).await?),
            Turn::Done => return Ok(()),
        };
        match self.letters.write(call, &claimed, &CLAIMED, "claim", &mark).await? {
            Some(version) => claimed.set_version(version),
            None => return later("somebody else was faster", Duration::from_secs(1)),
        }
        if begun.elapsed() + self.rules.send_within > self.rules.lease {
            return later("claiming it took too long to be sure of the lease", self.rules.lease);
        }
        // Without the deadline of whoever asked: what was begun has its own time.
        let own = Call { deadline: None, ..call.clone() };
        let carried = tokio::time::timeout(self.rules.send_within, self.carrier.carry(&own, &claimed)).await;
        let answer = carried
            .unwrap_or_else(|_| Answer::Unknown(format!("no answer within {:?}", self.rules.send_within)));
        let (settled, again) = after(&claimed, answer, &self.rules, (self.clock)());
        self.note(call, settled, &mark).await?;
        again.map_or(Ok(()), |pause| later("it could not be taken", pause))
    }

    /// Sends what nobody is sending although it waits, in whatever workspace: its sender died, or its event went astray.
    pub async fn sweep(&self, call: &Call) -> Result<(), Error> {
        for workspace in self.letters.waiting(call, (self.clock)()).await? {
            self.sweep_one(&Call { workspace, ..call.clone() }).await?;
        }
        Ok(())
    }

    async fn sweep_one(&self, call: &Call) -> Result<(), Error> {
        let ids = self.letters.left_alone(call, (self.clock)()).await?;
        futures::stream::iter(ids)
            .for_each_concurrent(SIDE_BY_SIDE, |id| async move {
                match self.send(call, &id).await {
                    Ok(()) => tracing::info!(channel = L::CHANNEL, id, "sent what was left alone"),
                    Err(failure) => tracing::warn!(channel = L::CHANNEL, id, ?failure, "was left alone"),
                }
            })
            .await;
        Ok(())
    }

    /// Writes down how a sending ended. That a letter was taken or refused must not be forgotten because `persist` is away
    /// for a moment or the event's handler ran out of time: it is written by a task of its own.
    async fn note(&self, call: &Call, settled: L, mark: &str) -> Result<(), Error> {
        let progress = settled.progress();
        let (id, status) = (settled.id().to_owned(), L::status_of(progress.stage));
        tracing::info!(channel = L::CHANNEL, id, status, error = progress.error, "sending ended");
        let labels = [("channel", L::CHANNEL), ("outcome", outcome(progress.stage))];
        metrics::counter!("artel_notify_sent_total", &labels).increment(1);
        if progress.stage == Stage::Pending {
            // Nothing is lost if this fails: the lease ends, and what becomes of it then is the channel's promise.
            return self.letters.write(call, &settled, &SETTLED, "settle", mark).await.map(drop);
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        let (outbox, mark) = (self.clone(), mark.to_owned());
        // Without the deadline of whoever asked.
        let call = Call { deadline: None, ..call.clone() };
        let written = tokio::spawn(async move {
            outbox.insist(&call, &settled, &mark).await;
            outbox.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        });
        written.await.map_err(Error::internal)
    }

    async fn insist(&self, call: &Call, settled: &L, mark: &str) {
        let (mut pause, begun, id) = (FIRST_PAUSE, Instant::now(), settled.id());
        loop {
            match self.letters.write(call, settled, &SETTLED, "settle", mark).await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    tracing::warn!(channel = L::CHANNEL, id, "another sender took it over");
                    return;
                }
                Err(error) if begun.elapsed() < NOTE_WITHIN => {
                    tracing::warn!(%error, channel = L::CHANNEL, id, "cannot write down yet how sending it ended");
                }
                Err(error) => {
                    tracing::error!(%error, channel = L::CHANNEL, id, "cannot write down how sending it ended");
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn is_taken(&self, id: &str) -> bool {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }
}

fn later(reason: &str, wait: Duration) -> Result<(), Failure> {
    Err(Failure::Later { reason: reason.to_owned(), wait: Some(wait) })
}

fn outcome(stage: Stage) -> &'static str {
    match stage {
        Stage::Sent => "sent",
        Stage::Failed => "failed",
        Stage::Pending | Stage::Sending => "again",
    }
}

#[cfg(test)]
pub(crate) mod tests;
