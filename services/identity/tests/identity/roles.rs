use artel_handle::Keys;
use artel_proto::identity::{GrantRoleRequest, RevokeRoleRequest, RotateKeysRequest};
use futures::future::join_all;
use tonic::Code;

use crate::support::{World, fresh_email, refresh, refusal, register};

fn grant(email: &str, role: &str) -> GrantRoleRequest {
    GrantRoleRequest { email: email.into(), role: role.into() }
}

#[tokio::test]
async fn an_operator_grants_and_takes_roles_and_tokens_say_so() {
    let world = World::start("").await;
    let edge = world.edge().await;
    let email = fresh_email();
    let first = register(&edge, &email).await;
    let (mut identity, call) = world.inside("operator");
    let granted =
        identity.grant_role(call.request(grant(&email.to_uppercase(), "catalog_editor"))).await.unwrap();
    let user = granted.into_inner().user.unwrap();
    assert_eq!((user.roles.as_slice(), user.version), (["catalog_editor".to_owned()].as_slice(), 2));
    let again =
        identity.grant_role(call.request(grant(&email, "catalog_editor"))).await.unwrap().into_inner();
    assert_eq!(again.user.unwrap(), user);

    let keys = Keys::new(world.mesh.host("order").channel("identity"), "order", 100);
    assert!(keys.verify(&first.access_token).await.unwrap().0.roles.is_empty());
    let second = refresh(&edge, &first.refresh_token).await.unwrap();
    assert_eq!(keys.verify(&second.access_token).await.unwrap().0.roles, ["catalog_editor"]);

    let revoke = RevokeRoleRequest { email: email.clone(), role: "catalog_editor".into() };
    for _ in 0..2 {
        let revoked = identity.revoke_role(call.request(revoke.clone())).await.unwrap().into_inner();
        let user = revoked.user.unwrap();
        assert_eq!((user.roles.len(), user.version), (0, 3));
    }
    let third = refresh(&edge, &second.refresh_token).await.unwrap();
    assert!(keys.verify(&third.access_token).await.unwrap().0.roles.is_empty());

    let unknown = identity.grant_role(call.request(grant(&fresh_email(), "catalog_editor"))).await;
    assert_eq!(refusal(unknown), (Code::NotFound, "USER_NOT_FOUND".into()));
    for bad in ["Catalog Editor", "", "1", "a-b"] {
        let answer = identity.grant_role(call.request(grant(&email, bad))).await;
        assert_eq!(refusal(answer), (Code::InvalidArgument, "INVALID_FIELDS".into()), "{bad}");
    }
}

#[tokio::test]
async fn roles_granted_at_once_are_all_granted() {
    let world = World::start("").await;
    let email = fresh_email();
    register(&world.edge().await, &email).await;
    let (identity, call) = world.inside("operator");
    let grants = (0..6).map(|n| {
        let (mut identity, request) = (identity.clone(), call.request(grant(&email, &format!("role_{n}"))));
        tokio::spawn(async move { identity.grant_role(request).await.unwrap() })
    });
    join_all(grants).await.into_iter().for_each(|granted| drop(granted.unwrap()));
    let again = identity.clone().grant_role(call.request(grant(&email, "role_0"))).await.unwrap();
    assert_eq!(again.into_inner().user.unwrap().roles.len(), 6);
}

#[tokio::test]
async fn nobody_but_an_operator_does_what_operators_do() {
    let world = World::start("").await;
    let email = fresh_email();
    let mut edge = world.edge().await;
    register(&edge, &email).await;
    let (mut identity, call) = world.inside("order");
    let denied = |reason: &str| (Code::PermissionDenied, reason.to_owned());
    let answer = identity.grant_role(call.request(grant(&email, "catalog_editor"))).await;
    assert_eq!(refusal(answer), denied("OPERATOR_ONLY"));
    let answer = identity.rotate_keys(call.request(RotateKeysRequest {})).await;
    assert_eq!(refusal(answer), denied("OPERATOR_ONLY"));
    let revoke = RevokeRoleRequest { email: email.clone(), role: "catalog_editor".into() };
    assert_eq!(refusal(identity.revoke_role(call.request(revoke)).await), denied("OPERATOR_ONLY"));
    assert_eq!(refusal(edge.grant_role(grant(&email, "catalog_editor")).await), denied("INTERNAL_METHOD"));
    assert_eq!(refusal(edge.rotate_keys(RotateKeysRequest {}).await), denied("INTERNAL_METHOD"));
}
