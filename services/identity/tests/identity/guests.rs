//! Guests who sign in by phone.

use artel_proto::identity::guest_service_client::GuestServiceClient;
use artel_proto::identity::{
    ConfirmCodeRequest, ConfirmCodeResponse, Device, GetMeRequest, PhoneCode, QuickAuthRequest,
    QuickAuthResponse, RevealCodeRequest, RevealCodeResponse, Session, User,
};
use artel_repo::{Commit, Direction, Query};
use artel_util::time;
use chrono::TimeDelta;
use futures::future::join_all;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use crate::support::*;

pub type Door = GuestServiceClient<tonic::transport::Channel>;

/// As many codes as a test wants.
pub const GENEROUS: &str = "[identity.quick_auth]\nper_phone = ['1000/1s']";
const DEVICE: &str = "the phone of a guest";

impl World {
    pub async fn door(&self) -> Door {
        door(self.address).await
    }

    /// The last code for a phone.
    async fn last_code(&self, phone: &str) -> PhoneCode {
        let (repo, call) = self.repo();
        let query = Query::new().equal("phone", phone).order("id", Direction::Descending).page(1, "");
        repo.query::<PhoneCode>(&call, query).await.unwrap().items.remove(0)
    }

    async fn reveal(&self, service: &'static str, id: &str) -> Result<RevealCodeResponse, Status> {
        let host = self.mesh.host(service);
        let mut client = GuestServiceClient::new(host.channel("identity"));
        let request = host.call().request(RevealCodeRequest { id: id.to_owned() });
        Ok(client.reveal_code(request).await?.into_inner())
    }

    /// What the last SMS to a phone says.
    pub async fn sms(&self, phone: &str) -> String {
        self.reveal("notify", &self.last_code(phone).await.id).await.unwrap().code
    }

    async fn users(&self, phone: &str) -> Vec<User> {
        let (repo, call) = self.repo();
        repo.query(&call, Query::new().equal("phone", phone)).await.unwrap().items
    }

    async fn sessions(&self, user: &str) -> usize {
        let (repo, call) = self.repo();
        repo.query::<Session>(&call, Query::new().equal("user_id", user)).await.unwrap().items.len()
    }

    /// Signs a guest in who was not there before.
    pub async fn guest(&self, phone: &str, device: &str) -> ConfirmCodeResponse {
        let door = self.door().await;
        let asked = ask(&door, quick(phone, device, "")).await.unwrap().into_inner();
        confirm(&door, phone, &self.sms(phone).await, &asked.temporary_token).await.unwrap()
    }
}

pub async fn door(address: std::net::SocketAddr) -> Door {
    GuestServiceClient::connect(format!("http://{address}")).await.unwrap()
}

/// A phone that no other test and no earlier run has.
pub fn fresh_phone() -> String {
    let random = uuid::Uuid::new_v4().as_u128() % 1_000_000_000;
    format!("+79{random:09}")
}

pub fn quick(phone: &str, device_id: &str, device_token: &str) -> QuickAuthRequest {
    QuickAuthRequest {
        phone: phone.to_owned(),
        device_id: device_id.to_owned(),
        device_token: device_token.to_owned(),
        locale: String::new(),
    }
}

pub async fn ask(door: &Door, request: QuickAuthRequest) -> Result<Response<QuickAuthResponse>, Status> {
    door.clone().quick_auth(request).await
}

pub async fn confirm(
    door: &Door,
    phone: &str,
    code: &str,
    token: &str,
) -> Result<ConfirmCodeResponse, Status> {
    let request =
        ConfirmCodeRequest { phone: phone.into(), code: code.into(), temporary_token: token.into() };
    Ok(door.clone().confirm_code(request).await?.into_inner())
}

/// Another code than this.
fn other_than(code: &str) -> String {
    format!("{:06}", (code.parse::<u32>().unwrap() + 1) % 1_000_000)
}

/// What an answer looks like from outside: which fields it has, which headers, which status.
fn looks(answer: &Response<QuickAuthResponse>) -> (Vec<bool>, i32, Vec<String>, Option<String>) {
    let it = answer.get_ref();
    let fields = [
        &it.temporary_token.is_empty(),
        &it.user.is_none(),
        &it.access_token.is_empty(),
        &it.refresh_token.is_empty(),
        &(it.temporary_token.len() != 107),
    ];
    let mut headers: Vec<String> = answer.metadata().keys().map(|key| format!("{key:?}")).collect();
    headers.sort();
    let status = answer.metadata().get("x-artel-status").map(|it| it.to_str().unwrap().to_owned());
    (fields.into_iter().copied().collect(), it.code_expires_in, headers, status)
}

fn is_created(answer: &Response<QuickAuthResponse>) -> bool {
    let status = answer.metadata().get("x-artel-status").map(|it| it.to_str().unwrap().to_owned());
    assert_eq!(status.is_some(), !answer.get_ref().temporary_token.is_empty());
    assert_eq!(status.is_some(), answer.get_ref().access_token.is_empty());
    status.as_deref() == Some("201")
}

#[tokio::test]
async fn a_new_guest_has_an_account_from_the_first_code_on() {
    let world = World::start("").await;
    let (door, phone) = (world.door().await, fresh_phone());
    let written = format!("8 ({}) {}-{}", &phone[2..5], &phone[5..8], &phone[8..]);
    let asked =
        ask(&door, QuickAuthRequest { locale: "kk".into(), ..quick(&written, "", "") }).await.unwrap();
    assert!(is_created(&asked));
    let asked = asked.into_inner();
    assert_eq!(asked.code_expires_in, 300);
    assert!(world.users(&phone).await.is_empty(), "nobody before the code");

    let told = world.reveal("notify", &world.last_code(&phone).await.id).await.unwrap();
    assert_eq!((told.phone.as_str(), told.locale.as_str()), (phone.as_str(), "kk"));
    assert!(told.code.len() == 6 && told.code.bytes().all(|it| it.is_ascii_digit()), "{told:?}");
    assert!((290..=300).contains(&told.expires_in), "{told:?}");
    let wrong = confirm(&door, &phone, &other_than(&told.code), &asked.temporary_token).await;
    assert_eq!(refusal(wrong), unauthenticated("BAD_CODE"));
    let spaced = format!(" {} {}", &told.code[..3], &told.code[3..]);
    let signed_in = confirm(&door, &phone, &spaced, &asked.temporary_token).await.unwrap();
    assert_eq!(signed_in.device_token, "", "the device did not say what it calls itself");
    let user = signed_in.user.unwrap();
    assert_eq!((user.phone(), user.email.as_deref(), user.locale.as_str()), (phone.as_str(), None, "kk"));
    assert_eq!((user.display_name.as_str(), user.create_time.is_some()), ("Қонақ", true));
    assert_eq!(world.users(&phone).await, vec![user.clone()]);

    // A session as any other.
    let edge = world.edge().await;
    let me = edge.clone().get_me(with_token(&signed_in.access_token, GetMeRequest {})).await.unwrap();
    assert_eq!(me.into_inner().user, Some(user.clone()));
    let refreshed = refresh(&edge, &signed_in.refresh_token).await.unwrap();
    assert_eq!(refreshed.user, Some(user.clone()));
    let changed = User { display_name: "Айгүл".into(), ..User::default() };
    let update = artel_proto::identity::UpdateMeRequest { user: Some(changed), update_mask: None };
    let changed = edge.clone().update_me(with_token(&refreshed.access_token, update)).await.unwrap();
    assert_eq!(changed.into_inner().user.unwrap().display_name, "Айгүл");

    // The code is used.
    let again = confirm(&door, &phone, &told.code, &asked.temporary_token).await;
    assert_eq!(refusal(again), unauthenticated("BAD_CODE"));
    assert_eq!(world.sessions(&user.id).await, 1);
}

#[tokio::test]
async fn nothing_tells_whether_a_phone_is_known() {
    let world = World::start("").await;
    let door = world.door().await;
    let (repo, call) = world.repo();
    let known = async || {
        let phone = fresh_phone();
        let user = User {
            id: artel_util::new_id(),
            phone: Some(phone.clone()),
            display_name: "Anna".into(),
            ..User::default()
        };
        repo.commit(&call, Commit::new().insert(&user)).await.unwrap();
        phone
    };
    for (device_id, device_token) in [("", ""), (DEVICE, ""), (DEVICE, "made up")] {
        let one = ask(&door, quick(&known().await, device_id, device_token)).await.unwrap();
        let other = ask(&door, quick(&fresh_phone(), device_id, device_token)).await.unwrap();
        assert_eq!(looks(&one), looks(&other));
        assert!(is_created(&one));
    }

    // Nor do the limits.
    let mut refused = Vec::new();
    for phone in [known().await, fresh_phone()] {
        ask(&door, quick(&phone, "", "")).await.unwrap();
        refused.push(ask(&door, quick(&phone, "", "")).await.unwrap_err());
    }
    let (one, other) = (&refused[0], &refused[1]);
    assert_eq!(
        (one.code(), artel_util::reason(one).as_deref()),
        (Code::ResourceExhausted, Some("TOO_MANY_CODES"))
    );
    assert_eq!((one.code(), one.message()), (other.code(), other.message()));

    // Nor what becomes of a wrong code, or one that is none.
    let token = |answer: Response<QuickAuthResponse>| answer.into_inner().temporary_token;
    let mut refused = Vec::new();
    for phone in [known().await, fresh_phone()] {
        let token = token(ask(&door, quick(&phone, "", "")).await.unwrap());
        let wrong = other_than(&world.sms(&phone).await);
        for (code, token) in [(wrong.as_str(), token.as_str()), (&wrong, "none"), ("", &token), ("ё", &token)]
        {
            refused.push(confirm(&door, &phone, code, token).await.unwrap_err());
        }
    }
    let (known, unknown) = refused.split_at(4);
    for (one, other) in known.iter().zip(unknown) {
        assert_eq!(
            (one.code(), one.message(), one.details()),
            (other.code(), other.message(), other.details())
        );
    }
}

#[tokio::test]
async fn three_wrong_codes_and_it_is_dead() {
    let world = World::start("").await;
    let (door, phone) = (world.door().await, fresh_phone());
    let token = ask(&door, quick(&phone, "", "")).await.unwrap().into_inner().temporary_token;
    let code = world.sms(&phone).await;
    for _ in 0..3 {
        let wrong = confirm(&door, &phone, &other_than(&code), &token).await;
        assert_eq!(refusal(wrong), unauthenticated("BAD_CODE"));
    }
    assert_eq!(refusal(confirm(&door, &phone, &code, &token).await), unauthenticated("BAD_CODE"));
    let row = world.last_code(&phone).await;
    assert_eq!(row.tries, 3);
    assert_eq!(refusal(world.reveal("notify", &row.id).await), (Code::NotFound, "CODE_NOT_FOUND".into()));
    assert!(world.users(&phone).await.is_empty());
}

#[tokio::test]
async fn a_code_is_good_for_its_phone_its_token_and_its_time() {
    let world = World::start(GENEROUS).await;
    let (door, phone) = (world.door().await, fresh_phone());
    let token = ask(&door, quick(&phone, "", "")).await.unwrap().into_inner().temporary_token;
    let first = world.sms(&phone).await;
    let later = ask(&door, quick(&phone, "", "")).await.unwrap().into_inner().temporary_token;
    let row = world.last_code(&phone).await;
    let code = world.sms(&phone).await;
    let bad = unauthenticated("BAD_CODE");
    assert_eq!(refusal(confirm(&door, &fresh_phone(), &code, &later).await), bad);
    if first != code {
        assert_eq!(refusal(confirm(&door, &phone, &code, &token).await), bad);
    }
    let missing = confirm(&door, &phone, &code, "").await.unwrap_err();
    assert_eq!(missing.get_details_bad_request().unwrap().field_violations[0].field, "temporaryToken");
    let (repo, call) = world.repo();
    let late = PhoneCode {
        expire_time: Some(time::after(TimeDelta::seconds(-1))),
        id: row.id,
        ..PhoneCode::default()
    };
    repo.commit(&call, Commit::new().update(&late, &["expire_time"])).await.unwrap();
    assert_eq!(refusal(confirm(&door, &phone, &code, &later).await), bad);
    assert_eq!(refusal(world.reveal("notify", &late.id).await), (Code::NotFound, "CODE_NOT_FOUND".into()));
    // The first one is as good as ever.
    confirm(&door, &phone, &first, &token).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_bring_the_same_code_at_once_one_is_let_in() {
    let world = World::start("").await;
    let doors = [world.door().await, door(serve(&world.mesh).await).await];
    for _ in 0..4 {
        let phone = fresh_phone();
        let token = ask(&doors[0], quick(&phone, DEVICE, "")).await.unwrap().into_inner().temporary_token;
        let code = world.sms(&phone).await;
        let rivals = (0..6).map(|n| {
            let (door, phone, code, token) =
                (doors[n % 2].clone(), phone.clone(), code.clone(), token.clone());
            tokio::spawn(async move { confirm(&door, &phone, &code, &token).await })
        });
        let answers: Vec<_> = join_all(rivals).await.into_iter().map(Result::unwrap).collect();
        let mut users = world.users(&phone).await;
        assert_eq!(users.len(), 1);
        assert_eq!(world.sessions(&users.remove(0).id).await, 1);
        let (let_in, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(let_in.len(), 1);
        for answer in refused {
            assert_eq!(refusal(answer), unauthenticated("BAD_CODE"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_codes_of_one_new_guest_at_once_make_one_account() {
    let world = World::start(GENEROUS).await;
    let door = world.door().await;
    for device in ["", DEVICE] {
        let phone = fresh_phone();
        let mut brought = Vec::new();
        for _ in 0..4 {
            let token = ask(&door, quick(&phone, device, "")).await.unwrap().into_inner().temporary_token;
            brought.push((world.sms(&phone).await, token));
        }
        let guests = brought.iter().map(|(code, token)| confirm(&door, &phone, code, token));
        let answers: Vec<_> = join_all(guests).await.into_iter().map(Result::unwrap).collect();
        let users = world.users(&phone).await;
        assert_eq!(users.len(), 1);
        assert!(answers.iter().all(|answer| answer.user.as_ref().unwrap().id == users[0].id));
        assert_eq!(world.sessions(&users[0].id).await, 4);
        // Of the device's tokens the last one is good.
        let mut good = 0;
        for answer in &answers {
            let asked = ask(&door, quick(&phone, device, &answer.device_token)).await.unwrap();
            good += usize::from(!is_created(&asked));
        }
        assert_eq!(good, usize::from(!device.is_empty()));
    }
}

#[tokio::test]
async fn a_device_that_holds_its_token_needs_no_code() {
    let world = World::start(GENEROUS).await;
    let (door, phone, stranger) = (world.door().await, fresh_phone(), fresh_phone());
    let first = world.guest(&phone, DEVICE).await;
    let other = world.guest(&stranger, DEVICE).await;
    assert_eq!(first.device_token.len(), 107);
    let user = first.user.unwrap();
    let codes = async || {
        let (repo, call) = world.repo();
        repo.query::<PhoneCode>(&call, Query::new().equal("phone", &phone)).await.unwrap().items.len()
    };
    let before = codes().await;
    let entered = ask(&door, quick(&phone, DEVICE, &first.device_token)).await.unwrap();
    assert!(!is_created(&entered));
    let entered = entered.into_inner();
    assert_eq!(entered.user.as_ref(), Some(&user));
    assert_eq!((entered.temporary_token.as_str(), entered.expires_in), ("", 900));
    let edge = world.edge().await;
    refresh(&edge, &entered.refresh_token).await.unwrap();
    assert_eq!((world.sessions(&user.id).await, codes().await), (2, before));

    // Not another device, not another phone, not another's token, not one for something else, not none.
    for request in [
        quick(&phone, "another device", &first.device_token),
        quick(&phone, "", &first.device_token),
        quick(&stranger, DEVICE, &first.device_token),
        quick(&fresh_phone(), DEVICE, &first.device_token),
        quick(&phone, DEVICE, &other.device_token),
        quick(&phone, DEVICE, &first.refresh_token),
        quick(&phone, DEVICE, &first.device_token[1..]),
        quick(&phone, DEVICE, ""),
    ] {
        let asked = ask(&door, request.clone()).await.unwrap();
        assert!(is_created(&asked), "{request:?}");
    }

    // A code confirmed on it again replaces its token.
    let second = world.guest(&phone, DEVICE).await;
    assert_eq!(second.user.as_ref().map(|user| &user.id), Some(&user.id));
    assert!(is_created(&ask(&door, quick(&phone, DEVICE, &first.device_token)).await.unwrap()));
    assert!(!is_created(&ask(&door, quick(&phone, DEVICE, &second.device_token)).await.unwrap()));

    // And it does not last for ever.
    let (repo, call) = world.repo();
    let devices = repo.query::<Device>(&call, Query::new().equal("user_id", &user.id)).await.unwrap().items;
    assert_eq!(devices.len(), 1);
    let lifetime = time::to_chrono(&devices[0].expire_time.unwrap()).unwrap() - chrono::Utc::now();
    assert_eq!(lifetime.num_days(), 179);
    let late = Device { expire_time: Some(time::now()), ..devices[0].clone() };
    repo.commit(&call, Commit::new().update(&late, &["expire_time"])).await.unwrap();
    assert!(is_created(&ask(&door, quick(&phone, DEVICE, &second.device_token)).await.unwrap()));
}

#[tokio::test]
async fn whoever_names_a_known_phone_is_let_in_only_where_an_operator_wants_it() {
    let phone = fresh_phone();
    let world = World::start(GENEROUS).await;
    let user = world.guest(&phone, "").await.user.unwrap();
    assert!(is_created(&ask(&world.door().await, quick(&phone, "", "")).await.unwrap()));
    let trusting = format!("{GENEROUS}\ntrust_known_phone = true");
    let world = World::over(world.database, &trusting).await;
    let door = world.door().await;
    let entered = ask(&door, quick(&phone, "", "")).await.unwrap();
    assert!(!is_created(&entered));
    assert_eq!(entered.into_inner().user, Some(user));
    assert!(
        is_created(&ask(&door, quick(&fresh_phone(), "", "")).await.unwrap()),
        "who is new has no account"
    );
}

#[tokio::test]
async fn what_is_no_number_is_named_and_changes_nothing() {
    let world = World::start("").await;
    let door = world.door().await;
    for phone in ["", "phone", "+44 7700 900123", "+7 495 123 45 67", &"7".repeat(40)] {
        let refused = ask(&door, quick(phone, "", "")).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{phone}");
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "phone");
        let refused = confirm(&door, phone, "123456", "token").await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, "phone");
    }
    let (repo, call) = world.repo();
    assert!(repo.query::<PhoneCode>(&call, Query::new()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn codes_are_told_to_notify_alone() {
    let world = World::start("").await;
    let (door, phone) = (world.door().await, fresh_phone());
    let asked = ask(&door, quick(&phone, "", "")).await.unwrap().into_inner();
    let id = world.last_code(&phone).await.id;
    for service in ["order", "billing", "operator"] {
        let refused = world.reveal(service, &id).await;
        assert_eq!(refusal(refused), (Code::PermissionDenied, "NOTIFY_ONLY".into()), "{service}");
    }
    let outside = door.clone().reveal_code(RevealCodeRequest { id: id.clone() }).await.unwrap_err();
    assert_ne!(outside.code(), Code::Ok);
    let code = world.reveal("notify", &id).await.unwrap().code;
    confirm(&door, &phone, &code, &asked.temporary_token).await.unwrap();
    let not_there = (Code::NotFound, "CODE_NOT_FOUND".to_owned());
    assert_eq!(refusal(world.reveal("notify", &id).await), not_there);
    assert_eq!(refusal(world.reveal("notify", &artel_util::new_id()).await), not_there);
    assert!(world.last_code(&phone).await.sealed_code.is_empty(), "what was used is not kept");
}
