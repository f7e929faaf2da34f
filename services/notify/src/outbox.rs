//! Sending e-mails: claim the row, talk to the mail server, write down what it said.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use artel_client::Call;
use artel_proto::notify::{Email, EmailStatus};
use artel_queue::Failure;
use artel_util::{Error, new_id};
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::domain::{Answer, CLAIMED, Rules, SETTLED, Turn, after, turn};
use crate::rows::Emails;
use crate::smtp::Mailer;

/// E-mails that one sweep sends side by side.
const SIDE_BY_SIDE: usize = 8;
/// Between attempts to write down what the mail server said.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A note that can't be made for this long never will be.
const NOTE_WITHIN: Duration = Duration::from_secs(3600);

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Sends e-mails, each by one sender at a time. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Outbox {
    emails: Arc<dyn Emails>,
    mailer: Arc<dyn Mailer>,
    rules: Rules,
    clock: Clock,
    /// What the mail server took and the row doesn't say yet. While `persist` is away this is the only memory of it.
    taken: Arc<Mutex<HashSet<String>>>,
}

impl Outbox {
    pub fn new(emails: Arc<dyn Emails>, mailer: Arc<dyn Mailer>, rules: Rules) -> Self {
        Self { emails, mailer, rules, clock: Arc::new(Utc::now), taken: Arc::default() }
    }

    /// Sends one e-mail unless it was sent, was given up, or is being sent.
    pub async fn send(&self, call: &Call, id: &str) -> Result<(), Failure> {
        if self.is_taken(id) {
            return later("it was sent; that is still to be written down", Duration::from_secs(1));
        }
        let email = self.emails.find(call, id).await?;
        let email = email.ok_or_else(|| Failure::Permanent(format!("there is no e-mail {id}")))?;
        let begun = Instant::now();
        let mut claimed = match turn(&email, &self.rules, (self.clock)()) {
            Turn::Send(claimed) => *claimed,
            Turn::Wait(wait) => return later("somebody else is sending it", wait),
            Turn::Done => return Ok(()),
        };
        let mark = new_id();
        match self.emails.write(call, &claimed, &CLAIMED, "claim", &mark).await? {
            Some(version) => claimed.version = version,
            None => return later("somebody else was faster", Duration::from_secs(1)),
        }
        if begun.elapsed() + self.rules.send_within > self.rules.lease {
            return later("claiming it took too long to be sure of the lease", self.rules.lease);
        }
        let answer = match tokio::time::timeout(self.rules.send_within, self.mailer.send(&claimed)).await {
            Ok(answer) => answer,
            Err(_) => Answer::NotNow(format!("no answer within {:?}", self.rules.send_within)),
        };
        let (settled, again) = after(&claimed, answer, &self.rules, (self.clock)());
        self.note(call, settled, &mark).await?;
        again.map_or(Ok(()), |pause| later("the mail server could not take it", pause))
    }

    /// Sends what nobody is sending although it waits, in whatever workspace: its sender died, or its event went astray.
    pub async fn sweep(&self, call: &Call) -> Result<(), Error> {
        for workspace in self.emails.waiting(call, (self.clock)()).await? {
            self.sweep_one(&Call { workspace, ..call.clone() }).await?;
        }
        Ok(())
    }

    async fn sweep_one(&self, call: &Call) -> Result<(), Error> {
        let ids = self.emails.left_alone(call, (self.clock)()).await?;
        futures::stream::iter(ids)
            .for_each_concurrent(SIDE_BY_SIDE, |id| async move {
                match self.send(call, &id).await {
                    Ok(()) => tracing::info!(email = id, "sent an e-mail that was left alone"),
                    Err(failure) => tracing::warn!(email = id, ?failure, "an e-mail that was left alone"),
                }
            })
            .await;
        Ok(())
    }

    /// Writes down how a sending ended. That an e-mail was taken or refused must not be forgotten because `persist` is
    /// away for a moment or the event's handler ran out of time: it is written by a task of its own.
    async fn note(&self, call: &Call, settled: Email, mark: &str) -> Result<(), Error> {
        let (email, status) = (settled.id.clone(), settled.status());
        tracing::info!(
            email,
            status = status.as_str_name(),
            error = settled.error,
            "sending an e-mail ended"
        );
        metrics::counter!("artel_notify_emails_total", "outcome" => outcome(status)).increment(1);
        if status == EmailStatus::Pending {
            // Nothing is lost if this fails: the lease ends, and it is sent again.
            return self.emails.write(call, &settled, &SETTLED, "settle", mark).await.map(drop);
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(email.clone());
        let (outbox, mark) = (self.clone(), mark.to_owned());
        // Without the deadline of whoever asked.
        let call = Call { deadline: None, ..call.clone() };
        let written = tokio::spawn(async move {
            outbox.insist(&call, &settled, &mark).await;
            outbox.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&settled.id);
        });
        written.await.map_err(Error::internal)
    }

    async fn insist(&self, call: &Call, settled: &Email, mark: &str) {
        let (mut pause, begun) = (FIRST_PAUSE, Instant::now());
        loop {
            match self.emails.write(call, settled, &SETTLED, "settle", mark).await {
                Ok(Some(_)) => return,
                Ok(None) => {
                    tracing::warn!(email = settled.id, "another sender took it over: it may go out twice");
                    return;
                }
                Err(error) if begun.elapsed() < NOTE_WITHIN => {
                    tracing::warn!(%error, email = settled.id, "cannot write down yet how sending it ended");
                }
                Err(error) => {
                    tracing::error!(%error, email = settled.id, "cannot write down how sending it ended");
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

fn outcome(status: EmailStatus) -> &'static str {
    match status {
        EmailStatus::Sent => "sent",
        EmailStatus::Failed => "failed",
        _ => "again",
    }
}

#[cfg(test)]
pub(crate) mod tests;
