use std::time::{Duration, Instant};

use artel_proto::identity::{Credential, LoginRequest};
use futures::future::join_all;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::support::{
    Edge, PASSWORD, World, edge, fresh_email, login, refusal, register, serve, unauthenticated,
};

#[tokio::test]
async fn somebody_unknown_and_a_wrong_password_look_the_same() {
    let world = World::start("[identity.attempts]\nper_email = 1000\nper_address = 1000").await;
    let edge = world.edge().await;
    let email = fresh_email();
    register(&edge, &email).await;
    let user = login(&edge, &email.to_uppercase(), PASSWORD).await.unwrap().user.unwrap();
    assert_eq!(user.email(), email);

    let wrong = login(&edge, &email, "correct horse").await.unwrap_err();
    let unknown = login(&edge, &fresh_email(), PASSWORD).await.unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert_eq!((wrong.code(), wrong.message()), (unknown.code(), unknown.message()));
    assert_eq!(wrong.details(), unknown.details());

    // Not even the time tells: the best of several, as others use this machine, too. Where one way takes longer by
    // itself, no number of tries brings them together.
    let somebody = fresh_email();
    let (mut known, mut unknown) = (Duration::MAX, Duration::MAX);
    for tries in 1.. {
        for (email, best) in [(&email, &mut known), (&somebody, &mut unknown)] {
            let begun = Instant::now();
            login(&edge, email, "correct horse").await.unwrap_err();
            *best = begun.elapsed().min(*best);
        }
        if tries >= 5 && unknown > known / 2 && known > unknown / 2 {
            break;
        }
        assert!(tries < 50, "{known:?} for somebody known, {unknown:?} else");
    }
}

#[tokio::test]
async fn a_hash_is_renewed_when_the_parameters_have_changed() {
    let cheap = World::start("[identity.password]\nmemory_kib = 8192").await;
    let email = fresh_email();
    let user = register(&cheap.edge().await, &email).await.user.unwrap();
    let World { database, .. } = cheap;
    let world = World::over(database, "").await;
    let (repo, call) = world.repo();
    let hash = async || repo.get::<Credential>(&call, &user.id).await.unwrap().unwrap().password_hash;
    assert!(hash().await.contains("m=8192,"));
    let edge = world.edge().await;
    login(&edge, &email, "wrong password").await.unwrap_err();
    assert!(hash().await.contains("m=8192,"));
    login(&edge, &email, PASSWORD).await.unwrap();
    let renewed = hash().await;
    assert!(renewed.contains("m=19456,"), "{renewed}");
    login(&edge, &email, PASSWORD).await.unwrap();
    assert_eq!(hash().await, renewed);
}

#[tokio::test]
async fn ten_failures_close_the_door_and_a_success_begins_anew() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let [anna, boris] = [fresh_email(), fresh_email()];
    register(&edge, &anna).await;
    register(&edge, &boris).await;
    let fail = async |email: &str, times: usize| {
        for _ in 0..times {
            assert_eq!(
                refusal(login(&edge, email, "wrong password").await),
                unauthenticated("BAD_CREDENTIALS")
            );
        }
    };
    fail(&anna, 9).await;
    login(&edge, &anna, PASSWORD).await.unwrap();
    fail(&anna, 10).await;
    // Upper and lower case are the same here, too.
    let closed = login(&edge, &anna.to_uppercase(), PASSWORD).await.unwrap_err();
    assert_eq!(closed.code(), Code::ResourceExhausted);
    assert_eq!(artel_util::reason(&closed).as_deref(), Some("TOO_MANY_ATTEMPTS"));
    let wait = closed.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::from_secs(600) && wait <= Duration::from_secs(900), "{wait:?}");
    login(&edge, &boris, PASSWORD).await.unwrap();
    // Nor does it tell whether there is such a person.
    let nobody = fresh_email();
    fail(&nobody, 10).await;
    assert_eq!(refusal(login(&edge, &nobody, PASSWORD).await), refusal(Err::<(), _>(closed)));
}

#[tokio::test]
async fn failures_from_one_network_address_count_together() {
    let world = World::start("[identity.attempts]\nper_address = 5").await;
    let edge = world.edge().await;
    let email = fresh_email();
    register(&edge, &email).await;
    // A network that is this run's alone.
    let id = artel_util::new_id();
    let (here, elsewhere) = (format!("2001:db8:{}::1", &id[9..13]), format!("2001:db9:{}::1", &id[9..13]));
    let from = async |address: &str, email: &str, password: &str| {
        let mut request = Request::new(LoginRequest { email: email.into(), password: password.into() });
        request.metadata_mut().insert("x-envoy-external-address", address.parse().unwrap());
        edge.clone().login(request).await
    };
    for _ in 0..5 {
        let failed = from(&here, &fresh_email(), PASSWORD).await;
        assert_eq!(refusal(failed), unauthenticated("BAD_CREDENTIALS"));
    }
    assert_eq!(refusal(from(&here, &email, PASSWORD).await).1, "TOO_MANY_ATTEMPTS");
    from(&elsewhere, &email, PASSWORD).await.unwrap();
    login(&edge, &email, PASSWORD).await.unwrap();
}

/// Everybody signs in at the same moment with the answer to `guess`.
async fn at_once(edges: &[Edge], email: &str, guesses: Vec<String>) -> Vec<(Code, String)> {
    let rivals = guesses.into_iter().enumerate().map(|(n, guess)| {
        let (edge, email) = (edges[n % edges.len()].clone(), email.to_owned());
        tokio::spawn(async move { login(&edge, &email, &guess).await })
    });
    let answers = join_all(rivals).await.into_iter().map(Result::unwrap);
    answers
        .map(|answer| {
            answer.map_or_else(|status| refusal(Err::<(), _>(status)), |_| (Code::Ok, String::new()))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_guesses_at_once_learn_no_more_than_one_after_another() {
    let world =
        World::start("[identity.attempts]\nper_email = 5\n[identity.password]\nwait_ms = 60000").await;
    let other = serve(&world.mesh).await;
    let edges = [world.edge().await, edge(other).await];
    let email = fresh_email();
    register(&edges[0], &email).await;
    // Many devices of one person are no guesses.
    let answers = at_once(&edges, &email, vec![PASSWORD.into(); 24]).await;
    assert!(answers.iter().all(|(code, _)| *code == Code::Ok), "{answers:?}");
    let guesses: Vec<String> = (0..32).map(|n| format!("guess number {n}")).collect();
    let answers = at_once(&edges, &email, guesses).await;
    let learned = answers.iter().filter(|(_, reason)| reason == "BAD_CREDENTIALS").count();
    // Both copies count together where they share a Redis; without, each counts for itself.
    let most = if std::env::var("ARTEL_TEST_REDIS").is_ok() { 5 } else { 10 };
    assert!(learned <= most, "{learned} guesses were answered");
    assert!(answers.iter().filter(|(code, _)| *code == Code::ResourceExhausted).count() >= 32 - most);
    // By now even the right one is told nothing, whichever copy is asked.
    let answers = at_once(&edges, &email, vec![PASSWORD.into(); 2]).await;
    assert!(answers.iter().all(|(_, reason)| reason == "TOO_MANY_ATTEMPTS"), "{answers:?}");
}
