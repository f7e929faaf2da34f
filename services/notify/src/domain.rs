//! The rules of telling people: in which language, and by which ways.

use artel_proto::Entity as _;
use artel_proto::identity::User;
use artel_proto::notify::{
    Email, EmailQueued, EmailStatus, Notification, Preferences, Push, PushDevice, PushQueued, SendStatus,
    Sms, SmsQueued,
};
use artel_repo::Commit;
use artel_util::time::from_chrono;
use artel_util::{Error, new_id};
use chrono::{DateTime, Utc};

use crate::language::Language;
use crate::letter::EVENT_FIRST;
use crate::templates::{Letter, Words};

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

/// What a person is told about an event, by each way.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub notification: Option<Notification>,
    pub email: Option<Email>,
    pub sms: Option<Sms>,
    pub pushes: Vec<Push>,
}

/// What a person is told about an event, by the ways they want and the news has words for; nothing where they want none.
pub(crate) fn told(
    words: Words,
    preferences: &Preferences,
    person: &User,
    devices: &[PushDevice],
    event: (&str, &str),
    subject_id: &str,
    now: DateTime<Utc>,
) -> Told {
    let (event_id, event_type) = event;
    let Words { language, title, note, letter, sms } = words;
    let lease_time = Some(from_chrono(now + EVENT_FIRST));
    let notification = preferences.in_app.then(|| Notification {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        event_type: event_type.to_owned(),
        subject_id: subject_id.to_owned(),
        title: title.clone(),
        body: note.clone(),
        locale: language.code().to_owned(),
        ..Notification::default()
    });
    let is_urgent = sms.is_some();
    let phone = person.phone.clone().filter(|_| preferences.sms);
    let sms = sms.zip(phone).map(|(text, phone)| Sms {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        event_type: event_type.to_owned(),
        subject_id: subject_id.to_owned(),
        phone,
        text,
        status: SendStatus::Pending.into(),
        lease_time,
        ..Sms::default()
    });
    let pushes = devices.iter().filter(|_| is_urgent && preferences.push).map(|device| Push {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        event_type: event_type.to_owned(),
        subject_id: subject_id.to_owned(),
        device_id: device.id.clone(),
        title: title.clone(),
        body: note.clone(),
        status: SendStatus::Pending.into(),
        lease_time,
        ..Push::default()
    });
    let pushes = pushes.collect();
    let address = person.email.clone().filter(|_| preferences.email);
    let email = letter.zip(address).map(|(Letter { text, html }, address)| Email {
        id: new_id(),
        user_id: person.id.clone(),
        event_id: event_id.to_owned(),
        address,
        subject: title,
        text,
        html,
        locale: language.code().to_owned(),
        status: EmailStatus::Pending.into(),
        lease_time,
        ..Email::default()
    });
    Told { notification, email, sms, pushes }
}

impl Told {
    /// All of it, and that it is to be sent.
    pub fn commit(&self) -> Commit {
        let mut commit = Commit::new();
        if let Some(notification) = &self.notification {
            commit = commit.insert(notification);
        }
        if let Some(email) = &self.email {
            commit = commit.insert(email).publish(&EmailQueued { email_id: email.id.clone() });
        }
        if let Some(sms) = &self.sms {
            commit = commit.insert(sms).publish(&SmsQueued { sms_id: sms.id.clone() });
        }
        for push in &self.pushes {
            commit = commit.insert(push).publish(&PushQueued { push_id: push.id.clone() });
        }
        commit
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::templates::tests::person;

    fn moment(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn words() -> Words {
        Words {
            language: Language::Kazakh,
            title: "title".to_owned(),
            note: "note".to_owned(),
            letter: Some(Letter { text: "text".to_owned(), html: "html".to_owned() }),
            sms: None,
        }
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
            let told = told(words(), &preferences, &person, &[], ("e", "order.placed"), "o", moment(0));
            let (mail, notification) = (told.email, told.notification);
            assert!(told.sms.is_none() && told.pushes.is_empty(), "there are no words for these");
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
    fn phones_and_devices_are_told_what_is_urgent_where_that_is_wanted() {
        let urgent = || Words { letter: None, sms: Some("sms".to_owned()), ..words() };
        let guest = User { email: None, phone: Some("+77011234567".to_owned()), ..person() };
        let devices = ["a", "b"].map(|id| PushDevice { id: id.to_owned(), ..PushDevice::default() });
        for (sms, push) in [(true, true), (true, false), (false, true), (false, false)] {
            let preferences = Preferences { sms, push, ..default_preferences("u") };
            let event = ("e", "order.ready");
            let told = told(urgent(), &preferences, &guest, &devices, event, "o", moment(0));
            assert!(told.notification.is_some() && told.email.is_none());
            assert_eq!((told.sms.is_some(), told.pushes.len()), (sms, if push { 2 } else { 0 }));
            if let Some(sms) = told.sms {
                assert_eq!((sms.phone.as_str(), sms.text.as_str()), ("+77011234567", "sms"));
                assert_eq!((sms.status(), sms.subject_id.as_str()), (SendStatus::Pending, "o"));
            }
            for (push, device) in told.pushes.iter().zip(&devices) {
                assert_eq!((push.device_id.as_str(), push.title.as_str()), (device.id.as_str(), "title"));
            }
        }
        let told = told(urgent(), &default_preferences("u"), &person(), &[], ("e", "t"), "o", moment(0));
        assert!(told.sms.is_none(), "there is no phone");
    }

    #[test]
    fn anothers_message_is_not_there() {
        let notification = Notification { user_id: "me".to_owned(), ..Notification::default() };
        assert!(own(Some(notification.clone()), "me").is_ok());
        let refused = own(Some(notification), "you").unwrap_err();
        assert_eq!(refused.code(), tonic::Code::NotFound);
        assert_eq!(refused.message(), own(None, "you").unwrap_err().message(), "they must look the same");
    }
}
