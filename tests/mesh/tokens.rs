//! Sessions end when they should, and no token but ours opens anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::shop::{PASSWORD, Person};
use crate::support::Mesh;

#[tokio::test]
async fn refresh_rotates_and_a_reused_token_ends_the_family() {
    let mesh = Mesh::get();
    let anna = Person::register(&mesh, "en").await;
    let refresh =
        async |token: &str| mesh.post("/api/v1/auth/refresh", None, &json!({"refreshToken": token})).await;
    let second = refresh(&anna.refresh_token).await.ok();
    let third = refresh(second["refreshToken"].as_str().unwrap()).await.ok();
    assert_ne!(second["refreshToken"], third["refreshToken"]);

    let reused = refresh(&anna.refresh_token).await;
    assert_eq!((reused.status.as_u16(), reused.reason()), (401, "REFRESH_TOKEN_REUSED"));
    assert_eq!(
        refresh(third["refreshToken"].as_str().unwrap()).await.status,
        401,
        "the whole family is ended"
    );
    // Another sign-in is another family.
    let login =
        mesh.post("/api/v1/auth/login", None, &json!({"email": anna.email, "password": PASSWORD})).await.ok();
    refresh(login["refreshToken"].as_str().unwrap()).await.ok();
}

#[tokio::test]
async fn logout_ends_the_session_and_bad_passwords_do_not_begin_one() {
    let mesh = Mesh::get();
    let anna = Person::register(&mesh, "en").await;
    let body = json!({"refreshToken": anna.refresh_token});
    mesh.post("/api/v1/auth/logout", None, &body).await.ok();
    mesh.post("/api/v1/auth/logout", None, &body).await.ok();
    assert_eq!(mesh.post("/api/v1/auth/refresh", None, &body).await.status, 401);
    for (email, password) in [(anna.email.as_str(), "wrong password"), ("nobody@example.com", PASSWORD)] {
        let answer =
            mesh.post("/api/v1/auth/login", None, &json!({"email": email, "password": password})).await;
        assert_eq!((answer.status.as_u16(), answer.reason()), (401, "BAD_CREDENTIALS"), "{email}");
    }
    let taken = json!({"email": anna.email.to_uppercase(), "password": PASSWORD, "displayName": "Other"});
    let answer = mesh.post("/api/v1/auth/register", None, &taken).await;
    assert_eq!((answer.status.as_u16(), answer.reason()), (409, "EMAIL_TAKEN"));
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let mesh = Mesh::get();
    let anna = Person::register(&mesh, "en").await;
    let parts: Vec<&str> = anna.token.split('.').collect();
    let decode =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (header, claims) = (decode(parts[0]), decode(parts[1]));
    let with = |value: &Value, key: &str, new: Value| {
        let mut value = value.clone();
        value[key] = new;
        value
    };
    let forged = [
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("alg none", format!("{}.{}.", encode(&with(&header, "alg", json!("none"))), parts[1])),
        (
            "alg none with signature",
            format!("{}.{}.{}", encode(&with(&header, "alg", json!("none"))), parts[1], parts[2]),
        ),
        (
            "more roles",
            format!(
                "{}.{}.{}",
                parts[0],
                encode(&with(&claims, "roles", json!(["catalog_editor"]))),
                parts[2]
            ),
        ),
        (
            "another audience",
            format!("{}.{}.{}", parts[0], encode(&with(&claims, "aud", json!("other"))), parts[2]),
        ),
        (
            "expired and stretched",
            format!("{}.{}.{}", parts[0], encode(&with(&claims, "exp", json!(9_999_999_999_u64))), parts[2]),
        ),
        (
            "another key",
            format!("{}.{}.{}", encode(&with(&header, "kid", json!("no-such-key"))), parts[1], parts[2]),
        ),
        ("hmac", format!("{}.{}.{}", encode(&with(&header, "alg", json!("HS256"))), parts[1], parts[2])),
        ("nonsense", "abc".to_owned()),
    ];
    for (what, token) in &forged {
        for path in ["/api/v1/users/me", "/api/v1/orders", "/api/v1/products"] {
            let answer = mesh.read(path, Some(token)).await;
            assert_eq!(answer.status, 401, "{what} on {path}: {}", answer.body);
            assert_eq!(answer.body["code"], 16, "{what} on {path}: {}", answer.body);
        }
    }
    mesh.read("/api/v1/users/me", Some(&anna.token)).await.ok();
}

#[tokio::test]
async fn keys_rotate_without_an_outage() {
    let mesh = Mesh::get();
    let anna = Person::register(&mesh, "en").await;
    let kids = async || -> Vec<String> {
        let keys = mesh.read("/.well-known/jwks.json", None).await.ok();
        keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let before = kids().await;
    mesh.artel(&["keys", "rotate"]);
    let after = kids().await;
    assert_eq!(after.len(), before.len() + 1, "the new key is published beside the old");
    assert!(before.iter().all(|kid| after.contains(kid)));
    // Tokens of before and of after are good at once.
    mesh.read("/api/v1/users/me", Some(&anna.token)).await.ok();
    let late = Person::register(&mesh, "en").await;
    mesh.read("/api/v1/users/me", Some(&late.token)).await.ok();
}
