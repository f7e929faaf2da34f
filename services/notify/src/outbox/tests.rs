//! Senders that die at each point, mail servers that refuse, storage that is away.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use artel_mailbox::{Limits, Mailbox, Options};
use artel_proto::Timestamp;
use artel_proto::notify::{Email, EmailStatus};
use artel_util::time::from_chrono;
use async_trait::async_trait;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::*;
use crate::config::tests::settings;
use crate::letter::Progress;
use crate::smtp::Smtp;

const RULES: Rules = Rules {
    lease: Duration::from_secs(30),
    send_within: Duration::from_secs(20),
    give_up_after: TimeDelta::hours(96),
};
const ID: &str = "0193a000-0000-7000-8000-000000000007";

/// A table with one letter and `persist`'s rules: a version, and steps that are done once.
pub(crate) struct Table<L = Email> {
    row: Mutex<L>,
    done: Mutex<std::collections::HashMap<String, String>>,
    /// Steps of this name hang, as for a process that dies in them.
    pub(crate) hang_at: Mutex<&'static str>,
    /// So many of the next writes fail; half of them after they were done.
    away: AtomicUsize,
    pub(crate) hung: Notify,
}

impl<L: Letter> Table<L> {
    pub(crate) fn with(letter: L) -> Arc<Self> {
        Arc::new(Self {
            row: Mutex::new(letter),
            done: Mutex::default(),
            hang_at: Mutex::new(""),
            away: AtomicUsize::new(0),
            hung: Notify::new(),
        })
    }

    pub(crate) fn row(&self) -> L {
        self.row.lock().unwrap().clone()
    }

    fn apply(&self, letter: &L, fields: &[&str], step: &str, mark: &str) -> Option<i64> {
        let version = letter.version();
        let key = format!("{version}/{step}");
        let mut done = self.done.lock().unwrap();
        if let Some(by) = done.get(&key) {
            return (by == mark).then_some(version + 1);
        }
        let mut row = self.row.lock().unwrap();
        if row.version() != version {
            return None;
        }
        for field in fields {
            assert!(row.take(letter, field), "{field} is a field");
        }
        row.set_version(version + 1);
        done.insert(key, mark.to_owned());
        Some(version + 1)
    }
}

#[async_trait]
impl<L: Letter> Letters<L> for Table<L> {
    async fn find(&self, _: &Call, id: &str) -> Result<Option<L>, Error> {
        Ok(Some(self.row()).filter(|row| row.id() == id))
    }

    async fn write(
        &self,
        _: &Call,
        letter: &L,
        fields: &[&str],
        step: &str,
        mark: &str,
    ) -> Result<Option<i64>, Error> {
        if *self.hang_at.lock().unwrap() == step {
            self.hung.notify_one();
            std::future::pending::<()>().await;
        }
        let left = self.away.load(Ordering::SeqCst);
        if left > 0 {
            self.away.store(left - 1, Ordering::SeqCst);
            if left % 2 == 1 {
                self.apply(letter, fields, step, mark);
            }
            return Err(Error::unavailable("AWAY", "persist is away"));
        }
        Ok(self.apply(letter, fields, step, mark))
    }

    async fn waiting(&self, call: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        let left = self.left_alone(call, now).await?;
        Ok(left.into_iter().map(|_| call.workspace.clone()).collect())
    }

    async fn left_alone(&self, _: &Call, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        let row = self.row();
        let Progress { stage, lease, .. } = row.progress();
        let open = matches!(stage, Stage::Pending | Stage::Sending);
        let free = lease.is_some_and(|lease| lease <= now);
        Ok(if open && free { vec![row.id().to_owned()] } else { Vec::new() })
    }
}

/// A mail server that is told what to answer, and counts.
#[derive(Default)]
struct Told {
    answers: Mutex<Vec<Answer>>,
    sent: AtomicUsize,
    hang: bool,
    reached: Notify,
}

#[async_trait]
impl Carrier<Email> for Told {
    async fn carry(&self, _: &Call, _: &Email) -> Answer {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.reached.notify_one();
        if self.hang {
            std::future::pending::<()>().await;
        }
        self.answers.lock().unwrap().pop().unwrap_or(Answer::Taken)
    }
}

/// A clock that tests move.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + self.0.load(Ordering::SeqCst), 0).unwrap()
    }
}

fn pending() -> Email {
    let written = Timestamp { seconds: 1_800_000_000, nanos: 0 };
    Email {
        id: ID.to_owned(),
        address: "reader@example.com".to_owned(),
        subject: "Тема".to_owned(),
        text: "текст".to_owned(),
        html: "<p>текст</p>".to_owned(),
        locale: "ru".to_owned(),
        status: EmailStatus::Pending.into(),
        lease_time: Some(Timestamp { seconds: written.seconds + 60, ..written }),
        version: 1,
        create_time: Some(written),
        ..Email::default()
    }
}

pub(crate) fn call() -> Call {
    Call::by_service("notify", "00000000-0000-7000-8000-000000000001")
}

/// A sender in a process of its own: it shares the table, the mail server and the time with others, not its memory.
pub(crate) fn process<L: Letter>(
    table: &Arc<Table<L>>,
    carrier: &Arc<impl Carrier<L>>,
    hands: &Hands,
) -> Outbox<L> {
    let hands = hands.clone();
    Outbox { clock: Arc::new(move || hands.now()), ..Outbox::new(table.clone(), carrier.clone(), RULES) }
}

pub(crate) fn wait_of(result: Result<(), Failure>) -> Duration {
    match result {
        Err(Failure::Later { wait: Some(wait), .. }) => wait,
        other => panic!("not put off: {other:?}"),
    }
}

#[tokio::test]
async fn an_email_is_sent_once_and_written_down() {
    let (table, mailer, hands) = (Table::with(pending()), Arc::new(Told::default()), Hands::default());
    let outbox = process(&table, &mailer, &hands);
    outbox.send(&call(), ID).await.unwrap();
    outbox.send(&call(), ID).await.unwrap();
    let row = table.row();
    assert_eq!((row.status(), row.attempts, row.version), (EmailStatus::Sent, 1, 3));
    assert_eq!((row.send_time, row.lease_time), (Some(from_chrono(hands.now())), None));
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 1);
    let missing = outbox.send(&call(), "another").await;
    assert!(matches!(missing, Err(Failure::Permanent(_))), "{missing:?}");
}

#[tokio::test]
async fn of_many_senders_at_once_one_sends() {
    let (table, mailer, hands) = (Table::with(pending()), Arc::new(Told::default()), Hands::default());
    let call = call();
    let senders: Vec<Outbox<Email>> = (0..16).map(|_| process(&table, &mailer, &hands)).collect();
    let results = futures::future::join_all(senders.iter().map(|sender| sender.send(&call, ID))).await;
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 1);
    assert!(
        results.iter().all(|result| matches!(result, Ok(()) | Err(Failure::Later { .. }))),
        "{results:?}"
    );
}

#[tokio::test]
async fn a_sender_that_dies_after_claiming_is_followed_when_its_lease_ends() {
    let (table, hands) = (Table::with(pending()), Hands::default());
    let dying = Arc::new(Told { hang: true, ..Told::default() });
    let first = process(&table, &dying, &hands);
    let death = tokio::spawn(async move { first.send(&call(), ID).await });
    dying.reached.notified().await;
    death.abort();
    assert_eq!(table.row().status(), EmailStatus::Sending);

    let mailer = Arc::new(Told::default());
    let second = process(&table, &mailer, &hands);
    hands.forward(10);
    assert_eq!(wait_of(second.send(&call(), ID).await), Duration::from_secs(20));
    second.sweep(&call()).await.unwrap();
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 0, "the lease holds");
    hands.forward(20);
    second.sweep(&call()).await.unwrap();
    let row = table.row();
    assert_eq!((row.status(), row.attempts, mailer.sent.load(Ordering::SeqCst)), (EmailStatus::Sent, 2, 1));
}

#[tokio::test]
async fn an_event_that_went_astray_is_made_up_for() {
    let (table, mailer, hands) = (Table::with(pending()), Arc::new(Told::default()), Hands::default());
    let outbox = process(&table, &mailer, &hands);
    outbox.sweep(&call()).await.unwrap();
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 0, "the event has a minute");
    hands.forward(60);
    outbox.sweep(&call()).await.unwrap();
    assert_eq!(table.row().status(), EmailStatus::Sent);
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_remembered_while_storage_is_away() {
    let (table, mailer, hands) = (Table::with(pending()), Arc::new(Told::default()), Hands::default());
    let outbox = process(&table, &mailer, &hands);
    *table.hang_at.lock().unwrap() = "settle";
    let handler = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.send(&call(), ID).await }
    });
    table.hung.notified().await;
    // The event comes again, long after the lease.
    hands.forward(3600);
    wait_of(outbox.send(&call(), ID).await);
    handler.abort();
    wait_of(outbox.send(&call(), ID).await);
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn storage_that_comes_and_goes_is_insisted_on() {
    for failures in 1..6 {
        let (table, mailer, hands) = (Table::with(pending()), Arc::new(Told::default()), Hands::default());
        let outbox = process(&table, &mailer, &hands);
        table.away.store(failures, Ordering::SeqCst);
        let mut tries = 0;
        while table.row().status() != EmailStatus::Sent {
            // Put off each time: claiming failed, or somebody (ourselves, unknowingly) holds the lease.
            let _ = outbox.send(&call(), ID).await;
            hands.forward(31);
            tries += 1;
            assert!(tries < 10);
        }
        assert_eq!(mailer.sent.load(Ordering::SeqCst), 1, "{failures} failures");
    }
}

#[tokio::test]
async fn a_mail_server_that_cannot_now_is_asked_again_and_one_that_never_will_is_not() {
    let (table, hands) = (Table::with(pending()), Hands::default());
    let busy = || Answer::NotNow("451 busy".to_owned());
    let mailer = Arc::new(Told { answers: Mutex::new(vec![busy(), busy()]), ..Told::default() });
    let outbox = process(&table, &mailer, &hands);
    assert_eq!(wait_of(outbox.send(&call(), ID).await), Duration::from_secs(1));
    assert_eq!((table.row().status(), table.row().error), (EmailStatus::Pending, "451 busy".to_owned()));
    assert_eq!(wait_of(outbox.send(&call(), ID).await), Duration::from_secs(5));
    outbox.send(&call(), ID).await.unwrap();
    assert_eq!((table.row().status(), table.row().error), (EmailStatus::Sent, String::new()));

    let table = Table::with(pending());
    let never = vec![Answer::Never("550 no such user".to_owned())];
    let mailer = Arc::new(Told { answers: Mutex::new(never), ..Told::default() });
    let outbox = process(&table, &mailer, &hands);
    outbox.send(&call(), ID).await.unwrap();
    outbox.send(&call(), ID).await.unwrap();
    assert_eq!(
        (table.row().status(), table.row().error),
        (EmailStatus::Failed, "550 no such user".to_owned())
    );
    assert_eq!(mailer.sent.load(Ordering::SeqCst), 1);
}

/// A real mailbox, and what it shows.
pub(crate) struct Post {
    smtp: SocketAddr,
    http: SocketAddr,
    client: reqwest::Client,
    _folder: tempfile::TempDir,
    serving: tokio::task::JoinHandle<()>,
}

impl Post {
    pub(crate) async fn open() -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let options =
            Options { smtp: any, http: any, data: folder.path().to_owned(), limits: Limits::default() };
        let mailbox = Mailbox::bind(options).await.unwrap();
        let (smtp, http) = (mailbox.smtp_address(), mailbox.http_address());
        let serving = tokio::spawn(async move { mailbox.serve(std::future::pending()).await.unwrap() });
        Self { smtp, http, client: reqwest::Client::new(), _folder: folder, serving }
    }

    pub(crate) fn mailer(&self) -> Arc<Smtp> {
        let text = format!("[notify]\nsmtp = \"smtp://{}\"", self.smtp);
        Arc::new(Smtp::new(artel_handle::Live::fixed(settings(&text).unwrap())).unwrap())
    }

    async fn faults(&self, faults: Value) {
        let url = format!("http://{}/api/faults", self.http);
        self.client.put(url).json(&faults).send().await.unwrap().error_for_status().unwrap();
    }

    async fn messages(&self) -> Vec<Value> {
        self.messages_to("reader@example.com").await
    }

    pub(crate) async fn messages_to(&self, address: &str) -> Vec<Value> {
        let url = format!("http://{}/api/messages?to={address}", self.http);
        let answer: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        answer["messages"].as_array().unwrap().clone()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn a_sender_that_dies_before_its_note_sends_twice_and_the_mailbox_shows_one() {
    let (post, hands) = (Post::open().await, Hands::default());
    let (table, mailer) = (Table::with(pending()), post.mailer());
    *table.hang_at.lock().unwrap() = "settle";
    let first = process(&table, &mailer, &hands);
    let death = tokio::spawn(async move { first.send(&call(), ID).await });
    table.hung.notified().await;
    death.abort();
    assert_eq!((table.row().status(), post.messages().await.len()), (EmailStatus::Sending, 1));

    *table.hang_at.lock().unwrap() = "";
    hands.forward(31);
    process(&table, &mailer, &hands).send(&call(), ID).await.unwrap();
    let messages = post.messages().await;
    assert_eq!((table.row().status(), messages.len()), (EmailStatus::Sent, 1), "{messages:?}");
    assert_eq!(messages[0]["deliveries"], json!(2), "the negative control: it did come twice");
}

#[tokio::test]
async fn a_real_server_that_hangs_up_or_refuses_is_understood() {
    let (post, hands) = (Post::open().await, Hands::default());
    let (table, mailer) = (Table::with(pending()), post.mailer());
    let outbox = process(&table, &mailer, &hands);
    // Busy; then it keeps the message and hangs up before it says so; then all is well.
    post.faults(json!({"temporaryFailures": 1, "dropAfterData": 1})).await;
    wait_of(outbox.send(&call(), ID).await);
    assert_eq!(post.messages().await.len(), 0);
    wait_of(outbox.send(&call(), ID).await);
    outbox.send(&call(), ID).await.unwrap();
    let messages = post.messages().await;
    assert_eq!((messages.len(), &messages[0]["deliveries"]), (1, &json!(2)), "{messages:?}");
    assert_eq!(messages[0]["subject"], json!("Тема"));

    let table = Table::with(Email { id: artel_util::new_id(), ..pending() });
    post.faults(json!({"rejectRate": 1.0})).await;
    process(&table, &mailer, &hands).send(&call(), &table.row().id).await.unwrap();
    assert_eq!((table.row().status(), post.messages().await.len()), (EmailStatus::Failed, 1));

    // Nobody there at all.
    let table = Table::with(Email { id: artel_util::new_id(), ..pending() });
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = format!("[notify]\nsmtp = \"smtp://{closed}\"");
    let nobody = Arc::new(Smtp::new(artel_handle::Live::fixed(settings(&text).unwrap())).unwrap());
    wait_of(process(&table, &nobody, &hands).send(&call(), &table.row().id).await);
    assert_eq!(table.row().status(), EmailStatus::Pending);
}
