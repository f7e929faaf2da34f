use std::sync::Arc;

use artel_proto::notify::{Push, PushDevice, RegisterPushDeviceRequest, SendStatus};
use artel_repo::{Commit, Query};
use artel_util::{Error, new_id};
use tonic::Code;

use super::world::World;
use crate::letter::{Answer, Rules};
use crate::outbox::Outbox;
use crate::push::tests::{Act, Provider};
use crate::push::{Alerter, Outcome};
use crate::rows::Rows;

const RULES: Rules = Rules {
    lease: std::time::Duration::from_secs(30),
    send_within: std::time::Duration::from_secs(20),
    give_up_after: chrono::TimeDelta::hours(1),
};

impl World {
    async fn register(&self, user_id: &str, token: &str) -> Result<String, Error> {
        let request = RegisterPushDeviceRequest { token: token.to_owned() };
        let answer =
            self.devices.clone().register_push_device(self.call_of(user_id).request(request)).await?;
        Ok(answer.into_inner().id)
    }

    async fn devices_with(&self, token: &str) -> Vec<PushDevice> {
        let query = Query::new().equal("token", token);
        self.repo.query::<PushDevice>(&self.call(), query).await.unwrap().items
    }

    /// A message to a device that waits to be sent.
    async fn push_to(&self, user_id: &str, device_id: &str) -> Push {
        let push = Push {
            id: new_id(),
            user_id: user_id.to_owned(),
            event_id: new_id(),
            device_id: device_id.to_owned(),
            title: "№12".to_owned(),
            status: SendStatus::Pending.into(),
            ..Push::default()
        };
        self.repo.commit(&self.call(), Commit::new().insert(&push)).await.unwrap();
        push
    }

    fn pushing(&self, provider: &Arc<Provider>) -> Outbox<Push> {
        let carrier = Alerter::new(provider.clone(), self.repo.clone());
        Outbox::new(Arc::new(Rows::new(self.repo.clone())), Arc::new(carrier), RULES)
    }
}

#[tokio::test]
async fn a_device_is_registered_once_and_belongs_to_who_signed_in_last() {
    let world = World::start().await;
    let (me, you, token) = (new_id(), new_id(), format!("token-{}:APA91b_x", new_id()));
    let many = futures::future::join_all((0..6).map(|_| world.register(&me, &token))).await;
    let ids: std::collections::BTreeSet<String> = many.into_iter().map(Result::unwrap).collect();
    assert_eq!(ids.len(), 1);
    let yours = world.register(&you, &token).await.unwrap();
    assert!(ids.contains(&yours));
    let devices = world.devices_with(&token).await;
    assert_eq!((devices.len(), devices[0].user_id.as_str()), (1, you.as_str()));
    for bad in ["", "two words", "жетон", &"x".repeat(2049)] {
        let refused = world.register(&me, bad).await.unwrap_err();
        assert_eq!((refused.code(), refused.fields()[0].field.as_str()), (Code::InvalidArgument, "token"));
    }
    // The longest there can be.
    world.register(&me, &format!("{}{}", new_id(), "x".repeat(2048 - 36))).await.unwrap();
}

#[tokio::test]
async fn a_device_that_is_no_more_is_forgotten_and_anothers_is_not_told() {
    let world = World::start().await;
    let (me, you, token) = (new_id(), new_id(), new_id());
    let device = world.register(&me, &token).await.unwrap();
    let refused = Act::Say(Outcome::Told(Answer::Never("400".to_owned())));
    let provider = Provider::scripted(&[refused, Act::Say(Outcome::Unregistered)]);
    let outbox = world.pushing(&provider);
    let send = async |user: &str| {
        let push = world.push_to(user, &device).await;
        outbox.send(&world.call(), &push.id).await.unwrap();
        world.repo.get::<Push>(&world.call(), &push.id).await.unwrap().unwrap()
    };
    assert_eq!(send(&me).await.status(), SendStatus::Failed);
    assert_eq!(world.devices_with(&token).await.len(), 1, "the message was wrong, not the device");
    let gone = send(&me).await;
    assert_eq!((gone.status(), gone.error.is_empty()), (SendStatus::Failed, false));
    assert!(world.devices_with(&token).await.is_empty());
    assert_eq!(send(&me).await.error, "the device is no more");
    assert!(provider.sent().is_empty());

    // Registered anew, and by somebody else.
    let device = world.register(&you, &token).await.unwrap();
    let push = world.push_to(&me, &device).await;
    outbox.send(&world.call(), &push.id).await.unwrap();
    assert!(provider.sent().is_empty());
    let push = world.push_to(&you, &device).await;
    outbox.send(&world.call(), &push.id).await.unwrap();
    assert_eq!(provider.sent(), [(token, "№12".to_owned())]);
}

#[tokio::test]
async fn a_message_whose_sender_died_is_given_up_and_one_that_nobody_began_is_sent() {
    let world = World::start().await;
    let me = new_id();
    let device = world.register(&me, &new_id()).await.unwrap();
    let provider = Provider::scripted(&[]);
    let past = Some(artel_util::time::after(chrono::TimeDelta::seconds(-1)));
    for (status, ends, sent) in
        [(SendStatus::Sending, SendStatus::Failed, 0), (SendStatus::Pending, SendStatus::Sent, 1)]
    {
        let mut push = world.push_to(&me, &device).await;
        push.lease_time = past;
        push.set_status(status);
        let commit = Commit::new().update(&push, &["status", "lease_time"]);
        world.repo.commit(&world.call(), commit).await.unwrap();
        world.pushing(&provider).sweep(&world.call()).await.unwrap();
        let push = world.repo.get::<Push>(&world.call(), &push.id).await.unwrap().unwrap();
        assert_eq!((push.status(), provider.sent().len()), (ends, sent), "{}", push.error);
    }
}
