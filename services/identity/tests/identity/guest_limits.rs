//! How many codes are sent, and how many guesses are looked at.

use artel_handle::testing::LocalMesh;
use artel_persist::testing::TestDatabase;
use artel_proto::identity::ConfirmCodeRequest;
use futures::future::join_all;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::guests::{GENEROUS, ask, confirm, door, fresh_phone, quick};
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_is_sent_few_codes_however_many_ask_at_once() {
    let world = World::start("").await;
    let doors = [world.door().await, door(serve(&world.mesh).await).await];
    let phone = fresh_phone();
    let asking = (0..24).map(|n| {
        let (door, phone) = (doors[n % 2].clone(), phone.clone());
        tokio::spawn(async move { ask(&door, quick(&phone, "", "")).await })
    });
    let answers: Vec<_> = join_all(asking).await.into_iter().map(Result::unwrap).collect();
    // Both copies count together where they share a Redis; without, each counts for itself.
    let most = if std::env::var("ARTEL_TEST_REDIS").is_ok() { 1 } else { 2 };
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), most);
    for refused in answers.into_iter().filter_map(Result::err) {
        assert_eq!(artel_util::reason(&refused).as_deref(), Some("TOO_MANY_CODES"));
        let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
        assert!(wait.as_secs() <= 30, "{wait:?}");
    }
}

#[tokio::test]
async fn the_pause_between_codes_grows_and_limits_change_while_it_runs() {
    let world = World::start("[identity.quick_auth]\nper_phone = ['2/60s', '3/900s']").await;
    let (door, phone) = (world.door().await, fresh_phone());
    let wait = async || {
        let refused = ask(&door, quick(&phone, "", "")).await.unwrap_err();
        refused.get_details_retry_info().unwrap().retry_delay.unwrap().as_secs()
    };
    for _ in 0..2 {
        ask(&door, quick(&phone, "", "")).await.unwrap();
    }
    assert!(wait().await <= 60);
    world.mesh.set("identity.quick_auth.per_phone", "1000/1s,3/900s");
    until("the third", async || ask(&door, quick(&phone, "", "")).await.is_ok()).await;
    assert!((800..=900).contains(&wait().await), "the window of three holds now");
    // A refusal by one limit does not count for another.
    world.mesh.set("identity.quick_auth.per_phone", "4/900s");
    until("the fourth", async || ask(&door, quick(&phone, "", "")).await.is_ok()).await;
}

#[tokio::test]
async fn codes_are_limited_by_network_address_and_by_range() {
    let ranges =
        "per_address = ['3/900s']\nranges = ['+79 9 1000/3600s', '+374 8 2/1s', '+7747 7 1000/3600s']";
    let world = World::start(&format!("{GENEROUS}\n{ranges}")).await;
    let door = world.door().await;
    let id = artel_util::new_id();
    let (here, elsewhere) = (format!("2001:db8:{}::1", &id[9..13]), format!("2001:db9:{}::1", &id[9..13]));
    let from = async |address: &str, phone: &str| {
        let mut request = Request::new(quick(phone, "", ""));
        request.metadata_mut().insert("x-envoy-external-address", address.parse().unwrap());
        door.clone().quick_auth(request).await.map(drop)
    };
    for _ in 0..3 {
        from(&here, &fresh_phone()).await.unwrap();
    }
    let too_many = (Code::ResourceExhausted, "TOO_MANY_CODES".to_owned());
    assert_eq!(refusal(from(&here, &fresh_phone()).await), too_many);
    from(&elsewhere, &fresh_phone()).await.unwrap();

    let armenian = async || {
        let random = uuid::Uuid::new_v4().as_u128() % 100_000_000;
        ask(&door, quick(&format!("+374 {random:08}"), "", "")).await.map(drop)
    };
    // A window of a second: of many at once some are refused, whoever else runs this test.
    let answers = join_all((0..12).map(|_| armenian())).await;
    let refused: Vec<_> = answers.into_iter().filter(Result::is_err).collect();
    assert!(!refused.is_empty());
    for answer in refused {
        assert_eq!(refusal(answer), too_many);
    }
    ask(&door, quick(&fresh_phone(), "", "")).await.unwrap();
}

#[tokio::test]
async fn guesses_from_one_network_address_count_together() {
    let world = World::start("[identity.attempts]\nper_address = 4").await;
    let door = world.door().await;
    let id = artel_util::new_id();
    let here = format!("2001:dba:{}::1", &id[9..13]);
    let guess = async |phone: &str, code: &str, token: &str| {
        let mut request = Request::new(ConfirmCodeRequest {
            phone: phone.into(),
            code: code.into(),
            temporary_token: token.into(),
        });
        request.metadata_mut().insert("x-envoy-external-address", here.parse().unwrap());
        door.clone().confirm_code(request).await.map(drop)
    };
    let phone = fresh_phone();
    let token = ask(&door, quick(&phone, "", "")).await.unwrap().into_inner().temporary_token;
    for _ in 0..4 {
        assert_eq!(refusal(guess(&fresh_phone(), "123456", "none").await), unauthenticated("BAD_CODE"));
    }
    // Not even the right one.
    let code = world.sms(&phone).await;
    let closed = guess(&phone, &code, &token).await;
    assert_eq!(refusal(closed), (Code::ResourceExhausted, "TOO_MANY_ATTEMPTS".into()));
    confirm(&door, &phone, &code, &token).await.unwrap();
}

#[tokio::test]
async fn without_redis_each_copy_counts_for_itself() {
    let key = "5e".repeat(32);
    let config = format!("redis = 'redis://127.0.0.1:9'\n[identity]\nkey = '{key}'");
    let mesh = LocalMesh::start(&config).await.unwrap();
    let database = TestDatabase::create().await.unwrap();
    mesh.serve(database.persist().await.unwrap()).await.unwrap();
    let (one, other) = (door(serve(&mesh).await).await, door(serve(&mesh).await).await);
    let phone = fresh_phone();
    for door in [one, other] {
        ask(&door, quick(&phone, "", "")).await.unwrap();
        assert_eq!(refusal(ask(&door, quick(&phone, "", "")).await).1, "TOO_MANY_CODES");
    }
}
