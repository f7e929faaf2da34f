//! Settings that an operator changes while the service runs.

use tonic::Code;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_and_limits_change_while_it_runs_and_bad_ones_do_not() {
    let world = World::start("").await;
    let (edge, email) = (world.edge().await, fresh_email());
    assert_eq!(register(&edge, &email).await.expires_in, 900);
    let lifetime = async || login(&edge, &email, PASSWORD).await.unwrap().expires_in;

    world.mesh.set("identity.access_token_seconds", "60");
    until("a minute", async || lifetime().await == 60).await;

    world.mesh.set("identity.access_token_seconds", "0");
    let consul = world.mesh.host("identity").consul().clone();
    let refused = async || {
        let instances = consul.instances("identity").await.unwrap();
        instances.iter().any(|instance| instance.meta.contains_key("config_refused"))
    };
    until("refused", refused).await;
    assert_eq!(lifetime().await, 60);

    // Ten failures close the door by default.
    world.mesh.set("identity.attempts.per_email", "1");
    world.mesh.unset("identity.access_token_seconds");
    until("the default", async || lifetime().await == 900).await;
    assert_eq!(refusal(login(&edge, &email, "wrong").await).0, Code::Unauthenticated);
    assert_eq!(refusal(login(&edge, &email, PASSWORD).await).0, Code::ResourceExhausted);
}
