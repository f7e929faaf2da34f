use artel_client::Call;
use artel_proto::identity::{GetMeRequest, LogoutRequest, Session};
use artel_repo::{Commit, Query, Repo};
use artel_util::time;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use chrono::TimeDelta;
use futures::future::join_all;
use sha2::{Digest as _, Sha256};

use crate::support::{
    PASSWORD, World, edge, fresh_email, login, refresh, refusal, register, serve, unauthenticated, with_token,
};

#[tokio::test]
async fn a_refresh_token_is_good_once_and_a_reused_one_ends_its_family() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let email = fresh_email();
    let first = register(&edge, &email).await;
    let other_device = login(&edge, &email, PASSWORD).await.unwrap();

    let second = refresh(&edge, &first.refresh_token).await.unwrap();
    assert_eq!(second.user.as_ref().unwrap().email(), email);
    assert_ne!(second.refresh_token, first.refresh_token);
    let third = refresh(&edge, &second.refresh_token).await.unwrap();
    edge.clone().get_me(with_token(&third.access_token, GetMeRequest {})).await.unwrap();

    // The first comes back: whoever has the third is out as well.
    let reused = refresh(&edge, &first.refresh_token).await;
    assert_eq!(refusal(reused), unauthenticated("REFRESH_TOKEN_REUSED"));
    assert_eq!(refusal(refresh(&edge, &third.refresh_token).await), unauthenticated("SESSION_ENDED"));
    assert_eq!(refusal(refresh(&edge, &second.refresh_token).await), unauthenticated("REFRESH_TOKEN_REUSED"));
    let (repo, call) = world.repo();
    let sessions = repo.query::<Session>(&call, Query::new()).await.unwrap().items;
    let ended: Vec<_> = sessions.iter().filter(|session| session.revoke_time.is_some()).collect();
    assert_eq!((sessions.len(), ended.len()), (2, 1));
    assert_eq!((ended[0].revoke_reason.as_str(), ended[0].generation), ("reuse", 2));

    refresh(&edge, &other_device.refresh_token).await.unwrap();
}

#[tokio::test]
async fn logout_ends_the_session_and_never_fails() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let signed_in = register(&edge, &fresh_email()).await;
    let logout = async |token: &str| {
        edge.clone().logout(LogoutRequest { refresh_token: token.to_owned() }).await.unwrap();
    };
    let unknown = "A".repeat(107);
    for token in [signed_in.refresh_token.as_str(), &signed_in.refresh_token, &unknown, "nonsense"] {
        logout(token).await;
    }
    assert_eq!(refusal(refresh(&edge, &signed_in.refresh_token).await), unauthenticated("SESSION_ENDED"));
    for token in [unknown.as_str(), "nonsense"] {
        assert_eq!(refusal(refresh(&edge, token).await), unauthenticated("REFRESH_TOKEN_UNKNOWN"));
    }
    let (repo, call) = world.repo();
    let session = repo.query::<Session>(&call, Query::new()).await.unwrap().items.pop().unwrap();
    assert_eq!((session.revoke_reason.as_str(), session.version), ("logout", 2));
    // Whoever holds its access token is known by it until it expires, as documented.
    edge.clone().get_me(with_token(&signed_in.access_token, GetMeRequest {})).await.unwrap();
}

#[tokio::test]
async fn a_session_lasts_as_long_as_it_is_used() {
    let world = World::start("session_days = 30").await;
    let edge = world.edge().await;
    let signed_in = register(&edge, &fresh_email()).await;
    let (repo, call) = world.repo();
    let session = async || repo.query::<Session>(&call, Query::new()).await.unwrap().items.pop().unwrap();
    let set_end = async |moment| {
        let changed = Session { expire_time: Some(moment), ..session().await };
        repo.commit(&call, Commit::new().update(&changed, &["expire_time"])).await.unwrap();
    };
    let end = async || time::to_chrono(&session().await.expire_time.unwrap()).unwrap();
    set_end(time::after(TimeDelta::minutes(1))).await;
    let signed_in = refresh(&edge, &signed_in.refresh_token).await.unwrap();
    let left = end().await - chrono::Utc::now();
    assert!(left > TimeDelta::days(29) && left <= TimeDelta::days(30), "{left}");
    set_end(time::after(TimeDelta::seconds(-1))).await;
    let expired = refresh(&edge, &signed_in.refresh_token).await;
    assert_eq!(refusal(expired), unauthenticated("REFRESH_TOKEN_EXPIRED"));
}

#[tokio::test]
async fn who_knows_a_session_cannot_end_it() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let signed_in = register(&edge, &fresh_email()).await;
    // The session's id stands in every access token. The rest is made up.
    let mut forged = BASE64.decode(&signed_in.refresh_token).unwrap();
    forged[16..].fill(7);
    let forged = BASE64.encode(forged);
    assert_eq!(refusal(refresh(&edge, &forged).await), unauthenticated("REFRESH_TOKEN_UNKNOWN"));
    edge.clone().logout(LogoutRequest { refresh_token: forged }).await.unwrap();
    refresh(&edge, &signed_in.refresh_token).await.unwrap();
}

/// What a refresh without a precondition does: read, compare, write.
async fn naive_refresh(repo: &Repo, call: &Call, id: &str, digest: &[u8]) -> bool {
    let session: Session = repo.get(call, id).await.unwrap().unwrap();
    if session.refresh_digest.as_ref() != digest {
        return false;
    }
    let next = Sha256::digest(artel_util::new_id()).to_vec();
    let swapped = Session { refresh_digest: next.into(), ..session };
    repo.commit(call, Commit::new().update(&swapped, &["refresh_digest"])).await.unwrap();
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_rivals_with_one_token_exactly_one_wins_and_a_naive_refresh_lets_more_win() {
    const RIVALS: usize = 8;
    const ROUNDS: usize = 10;
    let world = World::start("").await;
    let edges = [world.edge().await, edge(serve(&world.mesh).await).await];
    let email = fresh_email();
    register(&edges[0], &email).await;
    for round in 0..ROUNDS {
        let token = login(&edges[0], &email, PASSWORD).await.unwrap().refresh_token;
        let rivals = (0..RIVALS).map(|n| {
            let (edge, token) = (edges[n % 2].clone(), token.clone());
            tokio::spawn(async move { refresh(&edge, &token).await })
        });
        let answers: Vec<_> = join_all(rivals).await.into_iter().map(Result::unwrap).collect();
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}: {lost:?}");
        for answer in lost {
            assert_eq!(refusal(answer), unauthenticated("REFRESH_TOKEN_REUSED"), "round {round}");
        }
        // Nobody knows which of them is the thief, so the winner is out as well.
        let winner = won.into_iter().next().unwrap().unwrap();
        assert_eq!(
            refusal(refresh(&edges[1], &winner.refresh_token).await),
            unauthenticated("SESSION_ENDED")
        );
    }

    let (repo, call) = world.repo();
    let session = repo.query::<Session>(&call, Query::new()).await.unwrap().items.pop().unwrap();
    let mut most = 0;
    for _ in 0..ROUNDS {
        let digest = repo.get::<Session>(&call, &session.id).await.unwrap().unwrap().refresh_digest;
        let rivals = (0..RIVALS).map(|_| {
            let (repo, call, id, digest) = (repo.clone(), call.clone(), session.id.clone(), digest.clone());
            tokio::spawn(async move { naive_refresh(&repo, &call, &id, &digest).await })
        });
        let won = join_all(rivals).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
        most = most.max(won);
    }
    assert!(most > 1, "the negative control has to let more than one win");
}
