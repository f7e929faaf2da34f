//! Codes by SMS, with the real `identity`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use artel_client::Call;
use artel_handle::testing::LocalMesh;
use artel_handle::{Delivery, Listener as _, Live};
use artel_persist::testing::TestDatabase;
use artel_proto::identity::guest_service_client::GuestServiceClient;
use artel_proto::identity::identity_service_client::IdentityServiceClient;
use artel_proto::identity::{
    ConfirmCodeRequest, GetKeysRequest, PhoneCode, PhoneCodeRequested, QuickAuthRequest,
};
use artel_proto::notify::{SendStatus, Sms};
use artel_repo::{Commit, Query, Repo};
use artel_util::{new_id, time};
use chrono::{TimeDelta, Utc};

use super::world::all_ways;
use crate::letter::Rules;
use crate::listen::CodeSender;
use crate::outbox::Outbox;
use crate::rows::Rows;
use crate::sms::Texter;
use crate::sms::tests::Provider;
use crate::templates::Templates;

const RULES: Rules = Rules {
    lease: Duration::from_secs(30),
    send_within: Duration::from_secs(20),
    give_up_after: TimeDelta::hours(3),
};

struct Night {
    mesh: LocalMesh,
    _database: TestDatabase,
    provider: Arc<Provider>,
}

impl Night {
    async fn start() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let mesh = LocalMesh::start(&format!("[identity]\nkey = '{}'", "5e".repeat(32))).await.unwrap();
        mesh.serve(database.persist().await.unwrap()).await.unwrap();
        mesh.serve(artel_identity::service(mesh.host("identity")).await.unwrap()).await.unwrap();
        let host = mesh.host("gateway");
        let mut keys = IdentityServiceClient::new(host.channel("identity"));
        let deadline = Instant::now() + Duration::from_secs(30);
        while keys.get_keys(host.call().request(GetKeysRequest {})).await.is_err() {
            assert!(Instant::now() < deadline, "identity is never found");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { mesh, _database: database, provider: Provider::scripted(&[]) }
    }

    fn repo(&self) -> (Repo, Call) {
        let host = self.mesh.host("notify");
        (host.repo(), host.call())
    }

    /// Asks for a code: the phone, its temporary token, and the event as it arrives.
    async fn ask(&self) -> (String, String, Delivery, PhoneCodeRequested) {
        let phone = format!("+79{:09}", uuid::Uuid::new_v4().as_u128() % 1_000_000_000);
        let host = self.mesh.host("gateway");
        let mut door = GuestServiceClient::new(host.channel("identity"));
        let asked =
            QuickAuthRequest { phone: phone.clone(), locale: "en".into(), ..QuickAuthRequest::default() };
        let asked = door.quick_auth(host.call().request(asked)).await.unwrap().into_inner();
        let (repo, call) = self.repo();
        let query = Query::new().equal("phone", &phone);
        let code = repo.query::<PhoneCode>(&call, query).await.unwrap().items.remove(0);
        let delivery = Delivery {
            call,
            event_id: new_id(),
            event: "phone_code.requested".to_owned(),
            attempt: 1,
            is_replay: false,
            time: Utc::now(),
        };
        (phone, asked.temporary_token, delivery, PhoneCodeRequested { code_id: code.id })
    }

    fn sender(&self) -> CodeSender {
        let host = self.mesh.host("notify");
        let identity = GuestServiceClient::new(host.channel("identity"));
        CodeSender::new(host.repo(), identity, Arc::new(all_ways()))
    }

    fn outbox(&self) -> Outbox<Sms> {
        let host = self.mesh.host("notify");
        let identity = GuestServiceClient::new(host.channel("identity"));
        let settings = Live::fixed(all_ways());
        let texter = Texter::new(self.provider.clone(), identity, Templates::load().unwrap(), settings);
        Outbox::new(Arc::new(Rows::new(host.repo())), Arc::new(texter), RULES)
    }

    async fn all(&self) -> Vec<Sms> {
        let (repo, call) = self.repo();
        repo.query(&call, Query::new()).await.unwrap().items
    }

    async fn confirm(&self, phone: &str, code: &str, token: &str) -> bool {
        let host = self.mesh.host("gateway");
        let mut door = GuestServiceClient::new(host.channel("identity"));
        let request = ConfirmCodeRequest {
            phone: phone.to_owned(),
            code: code.to_owned(),
            temporary_token: token.to_owned(),
        };
        door.confirm_code(host.call().request(request)).await.is_ok()
    }
}

#[tokio::test]
async fn a_code_is_written_without_its_text_and_sent_once() {
    let night = Night::start().await;
    let (phone, token, delivery, event) = night.ask().await;
    let sender = night.sender();
    for _ in 0..2 {
        sender.hear(&delivery, event.clone()).await.unwrap();
    }
    let written = night.all().await;
    assert_eq!(written.len(), 1);
    let sms = &written[0];
    assert_eq!((sms.phone.as_str(), sms.text.as_str(), sms.user_id.as_str()), (phone.as_str(), "", ""));
    let lasts = time::to_chrono(sms.expire_time.as_ref().unwrap()).unwrap() - Utc::now();
    assert!((280..=300).contains(&lasts.num_seconds()), "{lasts}");

    let outbox = night.outbox();
    for _ in 0..2 {
        outbox.send(&delivery.call, &sms.id).await.unwrap();
    }
    let sent = night.provider.sent();
    assert_eq!((sent.len(), sent[0].0.as_str(), sent[0].1.as_str()), (1, sms.id.as_str(), phone.as_str()));
    let code: String = sent[0].2.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(sent[0].2, format!("Your sign-in code: {code}. Tell it to nobody."));
    let settled = night.all().await.remove(0);
    assert_eq!((settled.status(), settled.text.as_str()), (SendStatus::Sent, ""), "the code is not kept");
    assert!(night.confirm(&phone, &code, &token).await);
}

#[tokio::test]
async fn a_code_expires_unsent_while_the_provider_is_dead() {
    let night = Night::start().await;
    let (_, _, delivery, event) = night.ask().await;
    night.sender().hear(&delivery, event.clone()).await.unwrap();
    let id = night.all().await.remove(0).id;
    night.provider.is_down.store(true, Ordering::SeqCst);
    let outbox = night.outbox();
    outbox.send(&delivery.call, &id).await.unwrap_err();
    assert_eq!(night.all().await[0].status(), SendStatus::Pending, "nothing is lost");

    // Its time goes by, in both places.
    let (repo, call) = night.repo();
    let past = Some(time::after(TimeDelta::seconds(-1)));
    let code = PhoneCode { id: event.code_id.clone(), expire_time: past, ..PhoneCode::default() };
    let identity = night.mesh.host("identity");
    identity.repo().commit(&identity.call(), Commit::new().update(&code, &["expire_time"])).await.unwrap();
    night.provider.is_down.store(false, Ordering::SeqCst);
    outbox.send(&delivery.call, &id).await.unwrap();
    let late = night.all().await.remove(0);
    assert_eq!(
        (late.status(), late.error.as_str()),
        (SendStatus::Failed, "the code is used, dead or expired")
    );
    assert!(night.provider.sent().is_empty());

    // One that nobody began to send, and one whose event comes late.
    let (_, _, delivery, event) = night.ask().await;
    night.sender().hear(&delivery, event).await.unwrap();
    let waiting = night.all().await.into_iter().find(|sms| sms.status() == SendStatus::Pending).unwrap();
    let expired = Sms { expire_time: past, ..waiting.clone() };
    repo.commit(&call, Commit::new().update(&expired, &["expire_time"])).await.unwrap();
    outbox.send(&delivery.call, &waiting.id).await.unwrap();
    let late = repo.get::<Sms>(&call, &waiting.id).await.unwrap().unwrap();
    assert_eq!(
        (late.status(), late.error.as_str(), late.attempts),
        (SendStatus::Failed, "it is too late", 0)
    );
    let unknown = PhoneCodeRequested { code_id: new_id() };
    night.sender().hear(&delivery, unknown).await.unwrap();
    assert_eq!(night.all().await.len(), 2);
    assert!(night.provider.sent().is_empty());
}

#[tokio::test]
async fn a_code_that_nobody_sends_is_found_when_its_lease_ends() {
    let night = Night::start().await;
    let (_, _, delivery, event) = night.ask().await;
    night.sender().hear(&delivery, event).await.unwrap();
    let (repo, call) = night.repo();
    // Whose job it is has a workspace of its own.
    let job = Call::by_service("notify", &new_id());
    night.outbox().sweep(&job).await.unwrap();
    assert!(night.provider.sent().is_empty(), "the event has a minute");
    let mut left = night.all().await.remove(0);
    left.lease_time = Some(time::after(TimeDelta::seconds(-1)));
    for status in [SendStatus::Pending, SendStatus::Sending] {
        left.set_status(status);
        repo.commit(&call, Commit::new().update(&left, &["status", "lease_time"])).await.unwrap();
        night.outbox().sweep(&job).await.unwrap();
        assert_eq!(night.all().await[0].status(), SendStatus::Sent, "{status:?}");
    }
    assert_eq!(night.provider.sent().len(), 1, "the second sender asked whether it was sent");
}

#[tokio::test]
async fn without_a_provider_no_code_waits() {
    let night = Night::start().await;
    let (_, _, delivery, event) = night.ask().await;
    let host = night.mesh.host("notify");
    let identity = GuestServiceClient::new(host.channel("identity"));
    let settings = crate::config::tests::settings("").unwrap();
    CodeSender::new(host.repo(), identity, Arc::new(settings)).hear(&delivery, event).await.unwrap();
    assert!(night.all().await.is_empty());
}
