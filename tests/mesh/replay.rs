//! `artel replay`: past events go to one service once more.

use crate::shop::Person;
use crate::support::{Mesh, PATIENCE, eventually, unique};

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_replays_to_one_service() {
    let mesh = Mesh::get();
    let editor = Person::editor(&mesh).await;
    let product = editor.product(&unique("Replayed "), 100, 1_000).await;
    let since = artel_util::time::to_chrono(&artel_util::time::now()).unwrap().to_rfc3339();
    let person = Person::register(&mesh, "en").await;
    person.order(&product, 1).await.ok();
    let mails = async |count: usize| {
        eventually(&format!("{count} e-mails"), PATIENCE, async || {
            (mesh.mails(&person.email).await.len() == count).then_some(())
        })
        .await;
    };
    mails(1).await;
    let replay = |more: &[&str]| {
        let args = ["replay", "run", "notify", "order.placed", "--since", &since];
        mesh.artel(&[&args, more].concat())
    };
    eventually("the event to be noted as published", PATIENCE, async || {
        (!replay(&["--dry-run"]).starts_with("0 events")).then_some(())
    })
    .await;
    let said = replay(&[]);
    assert!(said.contains("were sent to notify (replay "), "{said}");
    // What was done is not done again, unless the operator says so: then there is one e-mail more.
    replay(&["--force"]);
    mails(2).await;

    let refused = |args: &[&str], why: &str| {
        let output = mesh.command(args).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && error.contains(why), "{args:?}: {error}");
    };
    refused(&["replay", "run", "notify", "product.imported"], "notify does not listen to");
    refused(&["replay", "run", "nobody", "order.placed"], "is no service that listens");
    refused(&["replay", "cancel", "019a9d2c-4c55-7b0a-8f0e-2f6f3f5b7a11"], "There is no replay");
}
