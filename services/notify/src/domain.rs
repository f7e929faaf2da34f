//! The rules of telling people: in which language, by which ways, and whose turn it is to send an e-mail.

use std::time::Duration;

use artel_proto::Entity as _;
use artel_proto::identity::User;
use artel_proto::notify::{Email, EmailStatus, Notification, Preferences};
use artel_util::time::{from_chrono, to_chrono};
use artel_util::{Error, new_id};
use chrono::{DateTime, TimeDelta, Utc};

use crate::language::Language;
use crate::templates::Words;

/// How long an e-mail that was just written is left to the event that asks for it.
const EVENT_FIRST: TimeDelta = TimeDelta::seconds(60);
/// After how long to try again, by how often it was tried; the last one stays.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(120),
    Duration::from_secs(600),
];
const LONGEST_ERROR: usize = 500;

/// How people want to be told who never said how.
pub(crate) fn default_preferences(user_id: &str) -> Preferences {
    Preferences {
        id: user_id.to_owned(),
        email: true,
        in_app: true,
        sms: true,
        push: true,
        ..Preferences::default()
    }
}

/// What people may choose, by proto name.
const CHOICES: [&str; 5] = ["email", "in_app", "sms", "push", "locale"];

/// The choices that a change of preferences is about: those that the mask names (proto or JSON spelling, `*` for all),
/// else those that are set.
pub(crate) fn chosen(asked: &Preferences, mask: &[String]) -> Result<Vec<&'static str>, Error> {
    if mask.is_empty() {
        let set = asked.populated();
        let chosen: Vec<_> = CHOICES.into_iter().filter(|choice| set.contains(choice)).collect();
        if chosen.is_empty() {
            let text = "is required where nothing is set: name what becomes false or empty, of email, inApp, sms, push and locale";
            return Err(Error::invalid("updateMask", text));
        }
        return Ok(chosen);
    }
    let names =
        |path: &str, choice: &str| path == "*" || path == choice || (path == "inApp" && choice == "in_app");
    if let Some(path) = mask.iter().find(|path| !CHOICES.iter().any(|choice| names(path, choice))) {
        let text = format!("`{path}` cannot be changed; what can is email, inApp, sms, push and locale");
        return Err(Error::invalid("updateMask", text));
    }
    Ok(CHOICES.into_iter().filter(|choice| mask.iter().any(|path| names(path, choice))).collect())
}

/// The language to write in: the one chosen for messages, else the profile's, else the house's.
pub(crate) fn language(preferences: &Preferences, person: &User, house: Language) -> Language {
    Language::of(&preferences.locale).or_else(|| Language::of(&person.locale)).unwrap_or(house)
}

/// What a person is told about an event, by the ways they want; neither where they want none.
pub(crate) fn told(
    words: Words,
    preferences: &Preferences,
    person: &User,
    event: (&str, &str),
    subject_id: &str,
    now: DateTime<Utc>,
) -> (Option<Notification>, Option<Email>) {
    let (event_id, event_type) = event;
    let notification = preferences.in_app.then(|| Notification {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        event_type: event_type.to_owned(),
        subject_id: subject_id.to_owned(),
        title: words.title.clone(),
        body: words.note.clone(),
        locale: words.language.code().to_owned(),
        ..Notification::default()
    });
    let address = person.email.clone().filter(|_| preferences.email);
    let email = address.map(|address| Email {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        address,
        subject: words.title,
        text: words.text,
        html: words.html,
        locale: words.language.code().to_owned(),
        status: EmailStatus::Pending.into(),
        lease_time: Some(from_chrono(now + EVENT_FIRST)),
        ..Email::default()
    });
    (notification, email)
}

/// The message, if it is this person's; another's is as good as none.
pub(crate) fn own(notification: Option<Notification>, user_id: &str) -> Result<Notification, Error> {
    notification.filter(|notification| notification.user_id == user_id).ok_or_else(|| {
        Error::not_found(
            "NOTIFICATION_NOT_FOUND",
            "There is no such message. Take the id from the list of messages.",
        )
    })
}

/// By what sending keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// For how long whoever begins to send has the e-mail alone.
    pub lease: Duration,
    /// How long a sending may take; less than the lease.
    pub send_within: Duration,
    /// For how long the mail server may be unable to take an e-mail.
    pub give_up_after: TimeDelta,
}

/// Whose turn it is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Turn {
    /// Ours: the row as it is to be claimed.
    Send(Box<Email>),
    /// Somebody else is at it for this long yet.
    Wait(Duration),
    /// Nobody's any more: it was sent or given up.
    Done,
}

/// The fields that claiming writes.
pub(crate) const CLAIMED: [&str; 3] = ["status", "attempts", "lease_time"];
/// The fields that the end of a sending writes.
pub(crate) const SETTLED: [&str; 4] = ["status", "lease_time", "send_time", "error"];

/// Whether an e-mail is to be sent now.
pub(crate) fn turn(email: &Email, rules: &Rules, now: DateTime<Utc>) -> Turn {
    let lease = email.lease_time.as_ref().and_then(to_chrono);
    match email.status() {
        EmailStatus::Sent | EmailStatus::Failed => Turn::Done,
        EmailStatus::Sending if lease.is_some_and(|lease| lease > now) => {
            Turn::Wait(lease.and_then(|lease| (lease - now).to_std().ok()).unwrap_or_default())
        }
        _ => {
            let mut claimed = email.clone();
            claimed.set_status(EmailStatus::Sending);
            claimed.attempts = email.attempts.saturating_add(1);
            claimed.lease_time = Some(from_chrono(now + rules.lease));
            Turn::Send(Box::new(claimed))
        }
    }
}

/// What the mail server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It took the e-mail.
    Taken,
    /// Not now, or nobody knows: the connection failed, or it was answered 4xx.
    NotNow(String),
    /// Never: it was answered 5xx, or it is no e-mail that can be sent.
    Never(String),
}

/// The row after a sending, and how long to wait before the next where there is to be one.
pub(crate) fn after(
    claimed: &Email,
    answer: Answer,
    rules: &Rules,
    now: DateTime<Utc>,
) -> (Email, Option<Duration>) {
    let mut email = claimed.clone();
    email.lease_time = None;
    email.error = String::new();
    match answer {
        Answer::Taken => {
            email.set_status(EmailStatus::Sent);
            email.send_time = Some(from_chrono(now));
        }
        Answer::Never(error) => {
            email.set_status(EmailStatus::Failed);
            email.error = shortened(&error);
        }
        Answer::NotNow(error) => {
            email.error = shortened(&error);
            let written = email.create_time.as_ref().and_then(to_chrono).unwrap_or(now);
            if now - written >= rules.give_up_after {
                email.set_status(EmailStatus::Failed);
            } else {
                let tried = usize::try_from(email.attempts.max(1) - 1).unwrap_or_default();
                let pause = PAUSES[tried.min(PAUSES.len() - 1)];
                email.set_status(EmailStatus::Pending);
                email.lease_time = Some(from_chrono(now + pause));
                return (email, Some(pause));
            }
        }
    }
    (email, None)
}

fn shortened(error: &str) -> String {
    error.chars().take(LONGEST_ERROR).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::tests::person;

    const RULES: Rules = Rules {
        lease: Duration::from_secs(30),
        send_within: Duration::from_secs(20),
        give_up_after: TimeDelta::hours(96),
    };

    fn moment(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn words() -> Words {
        Words {
            language: Language::Kazakh,
            title: "title".to_owned(),
            note: "note".to_owned(),
            text: "text".to_owned(),
            html: "html".to_owned(),
        }
    }

    fn pending() -> Email {
        let preferences = default_preferences("u");
        let (_, email) = told(words(), &preferences, &person(), ("e", "order.placed"), "o", moment(0));
        Email { create_time: Some(from_chrono(moment(0))), version: 1, ..email.unwrap() }
    }

    #[test]
    fn a_change_is_about_what_it_names_or_sets() {
        let mask = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        let kazakh =
            Preferences { id: "u".into(), locale: "kk".into(), version: 3, ..Preferences::default() };
        assert_eq!(chosen(&kazakh, &[]).unwrap(), ["locale"]);
        assert_eq!(chosen(&kazakh, &mask(&["inApp", "email"])).unwrap(), ["email", "in_app"]);
        assert_eq!(chosen(&kazakh, &mask(&["in_app", "inApp"])).unwrap(), ["in_app"]);
        assert_eq!(chosen(&Preferences::default(), &mask(&["*"])).unwrap(), CHOICES);
        for (asked, paths) in [(&Preferences::default(), mask(&[])), (&kazakh, mask(&["email", "version"]))] {
            assert_eq!(chosen(asked, &paths).unwrap_err().fields()[0].field, "updateMask");
        }
    }

    #[test]
    fn the_language_chosen_for_messages_comes_first() {
        let person = person();
        let mut preferences = default_preferences("u");
        assert_eq!(language(&preferences, &person, Language::English), Language::Kazakh);
        preferences.locale = "ru".to_owned();
        assert_eq!(language(&preferences, &person, Language::English), Language::Russian);
        let nobody = User::default();
        assert_eq!(language(&default_preferences("u"), &nobody, Language::English), Language::English);
    }

    #[test]
    fn people_are_told_by_the_ways_they_want() {
        let person = person();
        for (email, in_app) in [(true, true), (true, false), (false, true), (false, false)] {
            let preferences = Preferences { email, in_app, ..default_preferences("u") };
            let (notification, mail) =
                told(words(), &preferences, &person, ("e", "order.placed"), "o", moment(0));
            assert_eq!((mail.is_some(), notification.is_some()), (email, in_app));
            if let Some(mail) = mail {
                assert_eq!(
                    (mail.address.as_str(), mail.status()),
                    ("aigul@example.com", EmailStatus::Pending)
                );
            }
            if let Some(notification) = notification {
                assert_eq!(
                    (notification.title.as_str(), notification.body.as_str(), notification.locale.as_str()),
                    ("title", "note", "kk")
                );
            }
        }
    }

    #[test]
    fn anothers_message_is_not_there() {
        let notification = Notification { user_id: "me".to_owned(), ..Notification::default() };
        assert!(own(Some(notification.clone()), "me").is_ok());
        let refused = own(Some(notification), "you").unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound);
        assert_eq!(refused.message(), own(None, "you").unwrap_err().message(), "they must look the same");
    }

    #[test]
    fn one_at_a_time_sends_and_a_dead_sender_is_followed_by_another() {
        let Turn::Send(claimed) = turn(&pending(), &RULES, moment(0)) else { panic!("it is ours") };
        assert_eq!((claimed.status(), claimed.attempts), (EmailStatus::Sending, 1));
        assert_eq!(turn(&claimed, &RULES, moment(10)), Turn::Wait(Duration::from_secs(20)));
        let Turn::Send(next) = turn(&claimed, &RULES, moment(30)) else { panic!("the lease is over") };
        assert_eq!(next.attempts, 2);
        for status in [EmailStatus::Sent, EmailStatus::Failed] {
            let mut done = pending();
            done.set_status(status);
            assert_eq!(turn(&done, &RULES, moment(999)), Turn::Done);
        }
    }

    #[test]
    fn answers_of_the_mail_server_settle_the_row() {
        let Turn::Send(claimed) = turn(&pending(), &RULES, moment(0)) else { panic!("it is ours") };
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
        let often = Email { attempts: 40, ..*claimed.clone() };
        assert_eq!(after(&often, Answer::NotNow("451".to_owned()), &RULES, moment(1)).1, Some(PAUSES[4]));
        let (given_up, again) =
            after(&claimed, Answer::NotNow("451 full".to_owned()), &RULES, moment(96 * 3600));
        assert_eq!(
            (given_up.status(), given_up.error.as_str(), again),
            (EmailStatus::Failed, "451 full", None)
        );
    }
}
