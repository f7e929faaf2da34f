use artel_handle::Keys;
use artel_proto::Message as _;
use artel_proto::identity::{GetMeRequest, RegisterRequest, UserRegistered};
use futures::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{PASSWORD, World, fresh_email, login, refusal, register, unauthenticated, with_token};

#[tokio::test]
async fn a_person_registers_and_is_who_their_token_says() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let email = fresh_email();
    let answer = register(&edge, &email.to_uppercase()).await;
    let user = answer.user.unwrap();
    assert_eq!(
        (user.email(), user.display_name.as_str(), user.locale.as_str(), user.version),
        (email.as_str(), "Anna", "ru", 1)
    );
    assert!(user.create_time.is_some() && user.roles.is_empty());
    assert_eq!((answer.expires_in, answer.refresh_token.len()), (900, 107));

    // As every service verifies it.
    let host = world.mesh.host("order");
    let keys = Keys::new(host.channel("identity"), "order", 100);
    let (seen, workspace) = keys.verify(&answer.access_token).await.unwrap();
    assert_eq!((seen.id.as_str(), seen.locale.as_str(), seen.roles.len()), (user.id.as_str(), "ru", 0));
    assert_eq!(workspace, host.mesh().default_workspace);
    let me = edge.clone().get_me(with_token(&answer.access_token, GetMeRequest {})).await.unwrap();
    assert_eq!(me.into_inner().user, Some(user.clone()));

    // Others hear of it, once, and hear no more than they need.
    let superuser = world.database.superuser().await.unwrap();
    let rows = superuser.query("SELECT name, key, body FROM outbox", &[]).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].get::<_, &str>(0), rows[0].get::<_, &str>(1)), ("user.registered", user.id.as_str()));
    let event = UserRegistered::decode(rows[0].get::<_, &[u8]>(2)).unwrap();
    assert_eq!(event, UserRegistered { user_id: user.id, locale: "ru".into() });
}

#[tokio::test]
async fn an_address_is_registered_once_however_many_try() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let email = fresh_email();
    let rivals = (0..8).map(|n| {
        let mut edge = edge.clone();
        let request = RegisterRequest {
            email: if n % 2 == 0 { email.clone() } else { email.to_uppercase() },
            password: format!("password {n}"),
            display_name: format!("Anna {n}"),
            locale: "en".into(),
        };
        tokio::spawn(async move { (n, edge.register(request).await) })
    });
    let answers: Vec<_> = join_all(rivals).await.into_iter().map(Result::unwrap).collect();
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, answer)| answer.is_ok());
    assert_eq!(won.len(), 1);
    for (_, answer) in lost {
        let status = answer.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists, "{status:?}");
        assert_eq!(artel_util::reason(&status).as_deref(), Some("EMAIL_TAKEN"));
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "email");
    }
    // Nothing is left of those who lost: their passwords open nothing, nobody else is told.
    let winner = won[0].0;
    for n in 0..8 {
        let signed_in = login(&edge, &email, &format!("password {n}")).await;
        assert_eq!(signed_in.is_ok(), n == winner, "{n}");
    }
    let superuser = world.database.superuser().await.unwrap();
    for table in ["users", "credentials", "outbox"] {
        let count: i64 =
            superuser.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0);
        assert_eq!(count, 1, "{table}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_registration_is_named() {
    let world = World::start("").await;
    let mut edge = world.edge().await;
    let good = RegisterRequest {
        email: fresh_email(),
        password: PASSWORD.into(),
        display_name: "Anna".into(),
        locale: String::new(),
    };
    for (field, request) in [
        ("email", RegisterRequest { email: "anna".into(), ..good.clone() }),
        ("email", RegisterRequest { email: String::new(), ..good.clone() }),
        ("password", RegisterRequest { password: "1234567".into(), ..good.clone() }),
        ("password", RegisterRequest { password: "x".repeat(129), ..good.clone() }),
        ("displayName", RegisterRequest { display_name: "   ".into(), ..good.clone() }),
        ("locale", RegisterRequest { locale: "de".into(), ..good.clone() }),
    ] {
        let status = edge.register(request).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{field}: {status:?}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    assert_eq!(refusal(login(&edge, &good.email, PASSWORD).await), unauthenticated("BAD_CREDENTIALS"));
    // Any characters at all make a password.
    let odd = RegisterRequest { password: "\u{0}\n ёж 🦔\t".into(), ..good };
    edge.register(odd.clone()).await.unwrap();
    login(&edge, &odd.email, &odd.password).await.unwrap();
}
