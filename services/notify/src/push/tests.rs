//! Push messages over a provider that fails in each way, with senders that die at each point.

use std::collections::VecDeque;
use std::sync::Mutex;

use artel_proto::Timestamp;
use artel_proto::notify::SendStatus;
use artel_util::new_id;
use tokio::sync::Notify;

use super::*;
use crate::outbox::tests::{Hands, Table, call, process};

/// A service account for tests.
pub(crate) const ACCOUNT: &str = artel_vendors::push::SERVICE_ACCOUNT;

/// What a provider does with the next request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Answers this; does nothing.
    Say(Outcome),
    /// Takes it; the answer is lost.
    Lose,
    /// Takes it and never answers.
    Hang,
}

/// A provider with a ledger, which takes the same message as often as it comes.
#[derive(Default)]
pub(crate) struct Provider {
    pub ledger: Mutex<Vec<(String, String)>>,
    pub script: Mutex<VecDeque<Act>>,
    pub hung: Notify,
}

impl Provider {
    pub fn scripted(acts: &[Act]) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(acts.iter().cloned().collect()), ..Self::default() })
    }

    pub fn sent(&self) -> Vec<(String, String)> {
        self.ledger.lock().unwrap().clone()
    }
}

#[async_trait]
impl Pusher for Provider {
    async fn push(&self, message: Message<'_>) -> Outcome {
        let act = self.script.lock().unwrap().pop_front();
        if let Some(Act::Say(outcome)) = act {
            return outcome;
        }
        self.ledger.lock().unwrap().push((message.token.to_owned(), message.title.to_owned()));
        match act {
            Some(Act::Lose) => Outcome::Told(Answer::Unknown("cut off".to_owned())),
            Some(Act::Hang) => {
                self.hung.notify_one();
                std::future::pending().await
            }
            _ => Outcome::Told(Answer::Taken),
        }
    }
}

/// A carrier that needs no table of devices.
struct Straight(Arc<Provider>);

#[async_trait]
impl Carrier<Push> for Straight {
    async fn carry(&self, _: &Call, push: &Push) -> Answer {
        let (subject_id, event_type) = (push.subject_id.as_str(), push.event_type.as_str());
        let message =
            Message { token: "token", title: &push.title, body: &push.body, subject_id, event_type };
        match self.0.push(message).await {
            Outcome::Told(answer) => answer,
            Outcome::Unregistered => Answer::Never(String::new()),
        }
    }
}

fn push() -> Push {
    Push {
        id: new_id(),
        title: "№12".to_owned(),
        status: SendStatus::Pending.into(),
        create_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        version: 1,
        ..Push::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_push_message_is_never_there_twice_wherever_its_sender_dies() {
    let not_now = || Act::Say(Outcome::Told(Answer::NotNow("answered 503".to_owned())));
    // Where it dies (a step of the table that hangs, or the provider), what the provider does, how many arrive.
    for (step, acts, arrive, ends) in [
        ("", vec![], 1, SendStatus::Sent),
        ("", vec![not_now(), not_now()], 1, SendStatus::Sent),
        ("", vec![Act::Lose], 1, SendStatus::Failed),
        ("", vec![not_now(), Act::Lose], 1, SendStatus::Failed),
        ("claim", vec![], 1, SendStatus::Sent),
        ("settle", vec![], 1, SendStatus::Failed),
        ("provider", vec![Act::Hang], 1, SendStatus::Failed),
        // One that was surely not taken, and whose sender dies before it says so, is lost: nobody else knows that.
        ("settle", vec![not_now()], 0, SendStatus::Failed),
    ] {
        let (table, hands, provider) = (Table::with(push()), Hands::default(), Provider::scripted(&acts));
        let id = table.row().id;
        let carrier = Arc::new(Straight(provider.clone()));
        if !step.is_empty() {
            *table.hang_at.lock().unwrap() = step;
            let dying = process(&table, &carrier, &hands);
            let task = tokio::spawn({
                let id = id.clone();
                async move { dying.send(&call(), &id).await }
            });
            match step {
                "provider" => provider.hung.notified().await,
                _ => table.hung.notified().await,
            }
            task.abort();
            *table.hang_at.lock().unwrap() = "";
        }
        for _ in 0..10 {
            hands.forward(700);
            let _ = process(&table, &carrier, &hands).send(&call(), &id).await;
        }
        assert_eq!((provider.sent().len(), table.row().status()), (arrive, ends), "{step}, {acts:?}");
    }
}
