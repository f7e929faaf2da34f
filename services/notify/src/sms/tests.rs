//! SMS over a provider that fails in each way, with senders that die at each point.

use std::collections::VecDeque;
use std::sync::Mutex;

use artel_client::{CallKey, Channels};
use artel_proto::Timestamp;
use artel_proto::notify::SendStatus;
use artel_util::new_id;
use tokio::sync::Notify;

use super::*;
use crate::config::tests::settings;
use crate::letter::Letter;
use crate::outbox::tests::{Hands, Table, call, process};

/// What a provider does with the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Refuses for now; does nothing.
    Fail,
    /// Takes it; the answer is lost.
    Lose,
    /// Never answers, and has not taken it.
    HangBefore,
    /// Takes it and never answers.
    HangAfter,
}

/// A provider with a ledger.
#[derive(Default)]
pub(crate) struct Provider {
    pub ledger: Mutex<Vec<(String, String, String)>>,
    pub script: Mutex<VecDeque<Act>>,
    pub is_down: std::sync::atomic::AtomicBool,
    /// Says that it knows nothing, for a negative control.
    pub forgets: bool,
    pub hung: Notify,
}

impl Provider {
    pub fn scripted(acts: &[Act]) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(acts.iter().copied().collect()), ..Self::default() })
    }

    pub fn sent(&self) -> Vec<(String, String, String)> {
        self.ledger.lock().unwrap().clone()
    }

    fn down(&self) -> bool {
        self.is_down.load(std::sync::atomic::Ordering::SeqCst)
    }
}

#[async_trait]
impl Messenger for Provider {
    async fn send(&self, message: Message<'_>) -> Answer {
        if self.down() {
            return Answer::NotNow("answered 503".to_owned());
        }
        let act = self.script.lock().unwrap().pop_front();
        if act != Some(Act::Fail) && act != Some(Act::HangBefore) {
            let sms = (message.id.to_owned(), message.phone.to_owned(), message.text.to_owned());
            self.ledger.lock().unwrap().push(sms);
        }
        match act {
            None => Answer::Taken,
            Some(Act::Fail) => Answer::NotNow("answered 503".to_owned()),
            Some(Act::Lose) => Answer::Unknown("cut off".to_owned()),
            Some(Act::HangBefore | Act::HangAfter) => {
                self.hung.notify_one();
                std::future::pending().await
            }
        }
    }

    async fn has(&self, id: &str, phone: &str) -> Result<bool, String> {
        if self.down() {
            return Err("answered 503".to_owned());
        }
        Ok(!self.forgets && self.sent().iter().any(|(known, to, _)| known == id && to == phone))
    }
}

/// A carrier over a messenger, without an `identity` to ask for codes.
pub(crate) fn carrier(messenger: Arc<dyn Messenger>) -> Arc<Texter> {
    let channels = Channels::fixed("notify", CallKey::new("0123456789abcdef0123456789abcdef").unwrap(), []);
    Arc::new(Texter::new(
        messenger,
        GuestServiceClient::new(channels.to("identity")),
        Templates::load().unwrap(),
        Live::fixed(settings("").unwrap()),
    ))
}

pub(crate) fn sms() -> Sms {
    Sms {
        id: new_id(),
        user_id: new_id(),
        phone: "+77011234567".to_owned(),
        text: "№12".to_owned(),
        status: SendStatus::Pending.into(),
        lease_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        create_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        version: 1,
        ..Sms::default()
    }
}

/// Where a sender dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Before it has claimed the row.
    Claiming,
    /// With the request on its way.
    Sending,
    /// After the provider took it.
    Taken,
    /// With the answer, before its note of it.
    Noting,
}

/// Sends with one sender that dies, then with others until it is settled; what the provider has then, and the row.
async fn send_over_a_death(death: Death, provider: Arc<Provider>) -> (usize, Sms) {
    let (table, hands) = (Table::with(sms()), Hands::default());
    let id = table.row().id;
    match death {
        Death::Claiming => *table.hang_at.lock().unwrap() = "claim",
        Death::Sending => provider.script.lock().unwrap().push_front(Act::HangBefore),
        Death::Taken => provider.script.lock().unwrap().push_front(Act::HangAfter),
        Death::Noting => *table.hang_at.lock().unwrap() = "settle",
    }
    let dying = process(&table, &carrier(provider.clone()), &hands);
    let task = tokio::spawn({
        let id = id.clone();
        async move { dying.send(&call(), &id).await }
    });
    match death {
        Death::Claiming | Death::Noting => table.hung.notified().await,
        Death::Sending | Death::Taken => provider.hung.notified().await,
    }
    task.abort();
    *table.hang_at.lock().unwrap() = "";
    for _ in 0..20 {
        hands.forward(700);
        let _ = process(&table, &carrier(provider.clone()), &hands).send(&call(), &id).await;
    }
    (provider.sent().len(), table.row())
}

#[tokio::test(start_paused = true)]
async fn an_sms_is_sent_once_wherever_its_sender_dies_and_whatever_fails_after() {
    let mut cases = 0;
    for death in [Death::Claiming, Death::Sending, Death::Taken, Death::Noting] {
        for then in
            [&[][..], &[Act::Fail], &[Act::Lose], &[Act::Fail, Act::Lose], &[Act::Fail, Act::HangAfter]]
        {
            let (sent, row) = send_over_a_death(death, Provider::scripted(then)).await;
            assert_eq!(
                (sent, row.status()),
                (1, SendStatus::Sent),
                "{death:?}, then {then:?}: {}",
                row.error
            );
            cases += 1;
        }
    }
    assert_eq!(cases, 20);
}

#[tokio::test(start_paused = true)]
async fn without_asking_after_it_an_sms_is_sent_twice() {
    for (death, wanted) in [(Death::Claiming, 1), (Death::Sending, 1), (Death::Taken, 2), (Death::Noting, 2)]
    {
        let provider = Arc::new(Provider { forgets: true, ..Provider::default() });
        let (sent, _) = send_over_a_death(death, provider).await;
        assert_eq!(sent, wanted, "the negative control: {death:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_the_provider_is_dead() {
    let (table, hands, provider) = (Table::with(sms()), Hands::default(), Provider::scripted(&[]));
    let outbox = process(&table, &carrier(provider.clone()), &hands);
    provider.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let id = table.row().id;
    for _ in 0..10 {
        outbox.send(&call(), &id).await.unwrap_err();
        hands.forward(600);
    }
    assert_eq!((table.row().status(), provider.sent().len()), (SendStatus::Pending, 0));
    provider.is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    outbox.send(&call(), &id).await.unwrap();
    assert_eq!((table.row().status(), provider.sent().len()), (SendStatus::Sent, 1));
}

#[tokio::test]
async fn an_sms_that_came_too_late_is_not_sent_but_what_was_sent_is_known() {
    let late = Some(Timestamp { seconds: 1, nanos: 0 });
    let provider = Provider::scripted(&[]);
    let row = Sms { attempts: 2, expire_time: late, ..sms() };
    let answer = carrier(provider.clone()).carry(&call(), &row).await;
    assert_eq!(answer, Answer::Never("it is too late".to_owned()));
    assert!(row.late().is_some() && provider.sent().is_empty());
    provider.ledger.lock().unwrap().push((row.id.clone(), row.phone.clone(), String::new()));
    assert_eq!(carrier(provider.clone()).carry(&call(), &row).await, Answer::Taken);
    // A first sending asks nothing.
    let first = Sms { attempts: 1, expire_time: None, ..row };
    assert_eq!(carrier(provider.clone()).carry(&call(), &first).await, Answer::Taken);
    assert_eq!(provider.sent().len(), 2);
}
