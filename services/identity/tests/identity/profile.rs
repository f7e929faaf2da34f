use artel_proto::FieldMask;
use artel_proto::identity::{Credential, GetMeRequest, Session, UpdateMeRequest, User};
use artel_repo::{Commit, Query};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{World, fresh_email, refresh, refusal, register, unauthenticated, until, with_token};

fn change(display_name: &str, locale: &str, mask: &[&str]) -> UpdateMeRequest {
    let mask = FieldMask { paths: mask.iter().map(|path| (*path).to_owned()).collect() };
    let user = User { display_name: display_name.into(), locale: locale.into(), ..User::default() };
    UpdateMeRequest { user: Some(user), update_mask: (!mask.paths.is_empty()).then_some(mask) }
}

#[tokio::test]
async fn people_change_their_name_and_language_and_nothing_else() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let signed_in = register(&edge, &fresh_email()).await;
    let token = signed_in.access_token.as_str();
    let before = signed_in.user.unwrap();
    let update = async |request| {
        let answer = edge.clone().update_me(with_token(token, request)).await;
        answer.map(|answer| answer.into_inner().user.unwrap())
    };
    let user = update(change(" Анна ", "", &[])).await.unwrap();
    assert_eq!((user.display_name.as_str(), user.locale.as_str()), ("Анна", "ru"));
    let user = update(change("ignored", "kk", &["locale"])).await.unwrap();
    assert_eq!((user.display_name.as_str(), user.locale.as_str()), ("Анна", "kk"));
    let user = update(change("Anna K", "en", &["displayName", "locale"])).await.unwrap();
    assert_eq!((user.display_name.as_str(), user.locale.as_str()), ("Anna K", "en"));
    assert_eq!((user.version, &user.email, user.create_time), (4, &before.email, before.create_time));

    let mut forged = change("Anna", "", &[]);
    forged.user.as_mut().unwrap().roles.push("catalog_editor".into());
    for (field, request) in [
        ("user.displayName", change("", "", &["display_name"])),
        ("user.displayName", change("x".repeat(101).as_str(), "", &[])),
        ("user.locale", change("Anna", "de", &[])),
        ("updateMask", change("Anna", "", &["display_name", "email"])),
        ("user.roles", forged),
        ("user", UpdateMeRequest::default()),
    ] {
        let status = update(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field, "{status:?}");
    }
    let me = edge.clone().get_me(with_token(token, GetMeRequest {})).await.unwrap();
    assert_eq!(me.into_inner().user, Some(user));
}

#[tokio::test]
async fn nobody_is_somebody_without_a_good_token_and_an_account() {
    let world = World::start("access_token_seconds = 1").await;
    let edge = world.edge().await;
    let me = async |token: &str| edge.clone().get_me(with_token(token, GetMeRequest {})).await;
    assert_eq!(refusal(edge.clone().get_me(GetMeRequest {}).await), unauthenticated("NO_TOKEN"));
    assert_eq!(refusal(me("nonsense").await), unauthenticated("BAD_TOKEN"));

    let signed_in = register(&edge, &fresh_email()).await;
    let token = signed_in.access_token;
    let parts: Vec<&str> = token.split('.').collect();
    let forged = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    assert_eq!(refusal(me(&forged).await), unauthenticated("BAD_TOKEN"));
    until("the token expires", async || {
        me(&token).await.is_err_and(|status| artel_util::reason(&status).as_deref() == Some("TOKEN_EXPIRED"))
    })
    .await;
}

#[tokio::test]
async fn a_token_outlives_its_account_and_is_worth_nothing() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let gone = register(&edge, &fresh_email()).await;
    let user = gone.user.unwrap();
    let (repo, call) = world.repo();
    let sessions = repo.query::<Session>(&call, Query::new().equal("user_id", &user.id)).await.unwrap().items;
    let delete = Commit::new()
        .delete::<Session>(&sessions[0].id)
        .delete::<Credential>(&user.id)
        .delete::<User>(&user.id);
    repo.commit(&call, delete).await.unwrap();
    let me = edge.clone().get_me(with_token(&gone.access_token, GetMeRequest {})).await;
    assert_eq!(refusal(me), unauthenticated("USER_GONE"));
    let update = edge.clone().update_me(with_token(&gone.access_token, change("Boris", "", &[]))).await;
    assert_eq!(refusal(update), unauthenticated("USER_GONE"));
    let refreshed = refresh(&edge, &gone.refresh_token).await;
    assert_eq!(refusal(refreshed), unauthenticated("REFRESH_TOKEN_UNKNOWN"));
}
