//! What is on its way to somebody, by whatever channel: whose turn it is to send it, and what becomes of it. Pure.

use std::time::Duration;

use artel_proto::Entity;
use artel_proto::notify::{Email, EmailStatus, Push, SendStatus, Sms};
use artel_util::time::{from_chrono, to_chrono};
use chrono::{DateTime, TimeDelta, Utc};

/// How long a letter that was just written is left to the event that asks for it.
pub(crate) const EVENT_FIRST: TimeDelta = TimeDelta::seconds(60);
/// After how long to try again, by how often it was tried; the last one stays.
const PATIENT: &[Duration] = &[seconds(1), seconds(5), seconds(30), seconds(120), seconds(600)];
/// The same where somebody stands there and waits for it.
const EAGER: &[Duration] = &[
    seconds(1),
    seconds(1),
    seconds(5),
    seconds(5),
    seconds(5),
    seconds(5),
    seconds(30),
    seconds(30),
    seconds(120),
    seconds(600),
];
const LONGEST_ERROR: usize = 500;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A row that is to be sent once, as far as its channel can promise that.
pub(crate) trait Letter: Entity {
    /// The channel's name: in metrics, in logs, in idempotency keys.
    const CHANNEL: &'static str;
    /// Whether it is sent again where nobody knows if it was taken. Where it is not, it may be lost, and is never there
    /// twice.
    const AGAIN: bool;
    /// After how long to try again, by how often it was tried; the last one stays.
    const PAUSES: &'static [Duration];

    /// How far it is.
    fn progress(&self) -> Progress;
    /// Writes down how far it is.
    fn set_progress(&mut self, progress: Progress);
    /// The row's version.
    fn version(&self) -> i64;
    /// Takes the row's new version.
    fn set_version(&mut self, version: i64);
    /// When it was written.
    fn written(&self) -> Option<DateTime<Utc>>;
    /// When it is too late to send it; nothing where the channel's patience alone says so.
    fn late(&self) -> Option<DateTime<Utc>> {
        None
    }
    /// The status of a stage, as the row has it.
    fn status_of(stage: Stage) -> &'static str;
}

/// The part of a letter's row that sending writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    pub stage: Stage,
    /// How often sending was begun.
    pub attempts: i32,
    /// Until when the one who began sending has it for itself, or the event that asks for it.
    pub lease: Option<DateTime<Utc>>,
    pub sent: Option<DateTime<Utc>>,
    pub error: String,
}

/// How far a letter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Sending,
    Sent,
    Failed,
}

macro_rules! letter {
    ($letter:ident, $status:ident, $channel:literal, again: $again:literal, pauses: $pauses:ident $(, late: $late:ident)?) => {
        impl Letter for $letter {
            const CHANNEL: &'static str = $channel;
            const AGAIN: bool = $again;
            const PAUSES: &'static [Duration] = $pauses;

            fn progress(&self) -> Progress {
                Progress {
                    stage: match self.status() {
                        $status::Unspecified | $status::Pending => Stage::Pending,
                        $status::Sending => Stage::Sending,
                        $status::Sent => Stage::Sent,
                        $status::Failed => Stage::Failed,
                    },
                    attempts: self.attempts,
                    lease: self.lease_time.as_ref().and_then(to_chrono),
                    sent: self.send_time.as_ref().and_then(to_chrono),
                    error: self.error.clone(),
                }
            }

            fn set_progress(&mut self, progress: Progress) {
                self.set_status(match progress.stage {
                    Stage::Pending => $status::Pending,
                    Stage::Sending => $status::Sending,
                    Stage::Sent => $status::Sent,
                    Stage::Failed => $status::Failed,
                });
                self.attempts = progress.attempts;
                self.lease_time = progress.lease.map(from_chrono);
                self.send_time = progress.sent.map(from_chrono);
                self.error = progress.error;
            }

            fn version(&self) -> i64 {
                self.version
            }

            fn set_version(&mut self, version: i64) {
                self.version = version;
            }

            fn written(&self) -> Option<DateTime<Utc>> {
                self.create_time.as_ref().and_then(to_chrono)
            }

            $(fn late(&self) -> Option<DateTime<Utc>> {
                self.$late.as_ref().and_then(to_chrono)
            })?

            fn status_of(stage: Stage) -> &'static str {
                match stage {
                    Stage::Pending => $status::Pending,
                    Stage::Sending => $status::Sending,
                    Stage::Sent => $status::Sent,
                    Stage::Failed => $status::Failed,
                }
                .as_str_name()
            }
        }
    };
}

// At least once, always with the same Message-ID: a mailbox that suppresses duplicates shows it once.
letter!(Email, EmailStatus, "email", again: true, pauses: PATIENT);
// Once: the provider knows it by our id, and is asked whether it has it before it is sent again.
letter!(Sms, SendStatus, "sms", again: true, pauses: EAGER, late: expire_time);
// At most once: FCM takes no key and cannot be asked. What gets lost stands in the application all the same.
letter!(Push, SendStatus, "push", again: false, pauses: EAGER);

/// By what sending keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// For how long whoever begins to send has the letter alone.
    pub lease: Duration,
    /// How long a sending may take; less than the lease.
    pub send_within: Duration,
    /// For how long the other side may be unable to take a letter.
    pub give_up_after: TimeDelta,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Turn<L> {
    /// Ours: the row as it is to be claimed.
    Send(Box<L>),
    /// Somebody else is at it for this long yet.
    Wait(Duration),
    /// Nobody's, and that is still to be written down: the row as it ends.
    GiveUp(Box<L>),
    /// Nobody's any more: it was sent or given up.
    Done,
}

/// The fields that claiming writes.
pub(crate) const CLAIMED: [&str; 3] = ["status", "attempts", "lease_time"];
/// The fields that the end of a sending writes.
pub(crate) const SETTLED: [&str; 4] = ["status", "lease_time", "send_time", "error"];

/// Whether a letter is to be sent now.
pub(crate) fn turn<L: Letter>(letter: &L, rules: &Rules, now: DateTime<Utc>) -> Turn<L> {
    let Progress { stage, attempts, lease, .. } = letter.progress();
    if matches!(stage, Stage::Sent | Stage::Failed) {
        return Turn::Done;
    }
    if let Some(lease) = lease.filter(|lease| stage == Stage::Sending && *lease > now) {
        return Turn::Wait((lease - now).to_std().unwrap_or_default());
    }
    if stage == Stage::Sending && !L::AGAIN {
        return Turn::GiveUp(Box::new(failed(letter, "its sender died: nobody knows whether it was taken")));
    }
    // One that was begun may have been taken: whoever sends it finds out.
    if attempts == 0 && letter.late().is_some_and(|late| late <= now) {
        return Turn::GiveUp(Box::new(failed(letter, "it is too late")));
    }
    let mut claimed = letter.clone();
    claimed.set_progress(Progress {
        stage: Stage::Sending,
        attempts: attempts.saturating_add(1),
        lease: Some(now + rules.lease),
        ..letter.progress()
    });
    Turn::Send(Box::new(claimed))
}

/// What the other side said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took the letter.
    Taken,
    /// Not now: surely it was not taken.
    NotNow(String),
    /// Nobody knows whether it was taken: there was no answer.
    Unknown(String),
    /// Never: it was refused for good, or it cannot be sent.
    Never(String),
}

/// The row after a sending, and how long to wait before the next where there is to be one.
pub(crate) fn after<L: Letter>(
    claimed: &L,
    answer: Answer,
    rules: &Rules,
    now: DateTime<Utc>,
) -> (L, Option<Duration>) {
    let mut letter = claimed.clone();
    let error = match answer {
        Answer::Taken => {
            let taken = Progress {
                stage: Stage::Sent,
                lease: None,
                sent: Some(now),
                error: String::new(),
                ..claimed.progress()
            };
            letter.set_progress(taken);
            return (letter, None);
        }
        Answer::Never(error) => return (failed(claimed, &error), None),
        Answer::Unknown(error) if !L::AGAIN => return (failed(claimed, &error), None),
        Answer::NotNow(error) | Answer::Unknown(error) => error,
    };
    let written = claimed.written().unwrap_or(now);
    if now - written >= rules.give_up_after {
        return (failed(claimed, &error), None);
    }
    let tried = usize::try_from(claimed.progress().attempts.max(1) - 1).unwrap_or_default();
    let pause = L::PAUSES[tried.min(L::PAUSES.len() - 1)];
    letter.set_progress(Progress {
        stage: Stage::Pending,
        lease: Some(now + pause),
        error: shortened(&error),
        ..claimed.progress()
    });
    (letter, Some(pause))
}

fn failed<L: Letter>(letter: &L, error: &str) -> L {
    let mut failed = letter.clone();
    let progress =
        Progress { stage: Stage::Failed, lease: None, error: shortened(error), ..letter.progress() };
    failed.set_progress(progress);
    failed
}

fn shortened(error: &str) -> String {
    error.chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        lease: Duration::from_secs(30),
        send_within: Duration::from_secs(20),
        give_up_after: TimeDelta::hours(96),
    };

    fn moment(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn pending<L: Letter>() -> L {
        let mut letter = L::default();
        let progress = Progress {
            stage: Stage::Pending,
            attempts: 0,
            lease: Some(moment(60)),
            sent: None,
            error: String::new(),
        };
        letter.set_progress(progress.clone());
        assert_eq!(letter.progress(), progress);
        letter
    }

    fn email() -> Email {
        Email { create_time: Some(from_chrono(moment(0))), version: 1, ..pending() }
    }

    fn claimed<L: Letter>(letter: &L, now: DateTime<Utc>) -> L {
        match turn(letter, &RULES, now) {
            Turn::Send(claimed) => *claimed,
            _ => panic!("it is ours"),
        }
    }

    #[test]
    fn one_at_a_time_sends_and_a_dead_sender_is_followed_by_another() {
        let first = claimed(&email(), moment(0));
        assert_eq!((first.status(), first.attempts), (EmailStatus::Sending, 1));
        assert_eq!(turn(&first, &RULES, moment(10)), Turn::Wait(Duration::from_secs(20)));
        assert_eq!(claimed(&first, moment(30)).attempts, 2);
        for stage in [Stage::Sent, Stage::Failed] {
            let mut done = email();
            done.set_progress(Progress { stage, ..done.progress() });
            assert_eq!(turn(&done, &RULES, moment(999)), Turn::Done);
        }
    }

    #[test]
    fn what_cannot_be_sent_twice_is_not_sent_after_a_dead_sender() {
        let first: Push = claimed(&pending(), moment(0));
        assert_eq!(turn(&first, &RULES, moment(10)), Turn::Wait(Duration::from_secs(20)));
        let Turn::GiveUp(given_up) = turn(&first, &RULES, moment(30)) else {
            panic!("it may have been taken")
        };
        assert_eq!((given_up.status(), given_up.attempts), (SendStatus::Failed, 1));
        assert!(given_up.error.contains("nobody knows"), "{}", given_up.error);
        let (unknown, again) = after(&first, Answer::Unknown("cut off".to_owned()), &RULES, moment(1));
        assert_eq!((unknown.status(), unknown.error.as_str(), again), (SendStatus::Failed, "cut off", None));
        // What was surely not taken is another matter.
        let (waits, again) = after(&first, Answer::NotNow("503".to_owned()), &RULES, moment(1));
        assert_eq!((waits.status(), again), (SendStatus::Pending, Some(Duration::from_secs(1))));
        assert_eq!(claimed(&waits, moment(2)).attempts, 2);
        // An SMS can be asked after.
        let sms: Sms = claimed(&pending(), moment(0));
        assert_eq!(
            after(&sms, Answer::Unknown("cut off".to_owned()), &RULES, moment(1)).0.status(),
            SendStatus::Pending
        );
    }

    #[test]
    fn who_waits_at_the_counter_is_tried_again_sooner() {
        fn pauses<L: Letter>(tried: impl Fn(i32) -> L) -> Duration {
            let not_now = || Answer::NotNow("503".to_owned());
            (1..=6).filter_map(|attempts| after(&tried(attempts), not_now(), &RULES, moment(1)).1).sum()
        }
        let email = pauses(|attempts| Email { attempts, ..email() });
        let sms = pauses(|attempts| Sms { attempts, ..pending() });
        assert!(sms < Duration::from_secs(30) && email > Duration::from_secs(600), "{sms:?}, {email:?}");
    }

    #[test]
    fn what_is_too_late_is_not_sent_unless_it_may_have_been() {
        let sms = Sms { expire_time: Some(from_chrono(moment(100))), ..pending() };
        assert!(matches!(turn(&sms, &RULES, moment(99)), Turn::Send(_)));
        let Turn::GiveUp(late) = turn(&sms, &RULES, moment(100)) else { panic!("it is too late") };
        assert_eq!(
            (late.status(), late.error.as_str(), late.attempts),
            (SendStatus::Failed, "it is too late", 0)
        );
        assert_eq!(
            claimed(&claimed(&sms, moment(99)), moment(200)).attempts,
            2,
            "its sender asks whether it was sent"
        );
    }

    #[test]
    fn answers_settle_the_row() {
        let claimed = claimed(&email(), moment(0));
        let (sent, again) = after(&claimed, Answer::Taken, &RULES, moment(1));
        assert_eq!(
            (sent.status(), sent.send_time, again),
            (EmailStatus::Sent, Some(from_chrono(moment(1))), None)
        );
        let (failed, again) =
            after(&claimed, Answer::Never("550 no such user".to_owned()), &RULES, moment(1));
        assert_eq!(
            (failed.status(), failed.error.as_str(), again),
            (EmailStatus::Failed, "550 no such user", None)
        );
        let (waits, again) = after(&claimed, Answer::NotNow("451".to_owned()), &RULES, moment(1));
        assert_eq!((waits.status(), again), (EmailStatus::Pending, Some(Duration::from_secs(1))));
        let often = Email { attempts: 40, ..claimed.clone() };
        assert_eq!(after(&often, Answer::NotNow("451".to_owned()), &RULES, moment(1)).1, Some(seconds(600)));
        let (given_up, again) =
            after(&claimed, Answer::NotNow("451 full".to_owned()), &RULES, moment(96 * 3600));
        assert_eq!(
            (given_up.status(), given_up.error.as_str(), again),
            (EmailStatus::Failed, "451 full", None)
        );
    }
}
