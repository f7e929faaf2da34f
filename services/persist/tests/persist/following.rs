//! The typed way to watch: goes on by itself, whatever becomes of the connection.

use std::sync::atomic::Ordering;
use std::time::Duration;

use artel_client::{Call, CallKey, Channels};
use artel_config::Config;
use artel_handle::{CancellationToken, Host, testing};
use artel_persist::testing::TestDatabase;
use artel_proto::catalog::Product;
use artel_proto::persist::Operation;
use artel_repo::{Commit, Delta, Repo, Watch};
use tonic::Code;

use crate::support::*;
use crate::wire::Wire;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_loses_no_change() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let database = TestDatabase::create().await.unwrap();
    let config = Config::parse(&format!("[mesh]\nmesh_key = \"{KEY}\"")).unwrap();
    let host = Host::new(config, CancellationToken::new()).unwrap();
    let address = testing::listen(database.persist().await.unwrap(), &host).await.unwrap();
    let (wire, near) = Wire::to(address.to_string()).await;
    let repo = |address| {
        let channels = Channels::fixed("catalog", CallKey::new(KEY).unwrap(), [("persist", address)]);
        Repo::new(channels.to("persist"))
    };
    let (watching, writing) = (repo(near.parse().unwrap()), repo(address));
    let call = Call::by_service("catalog", WORKSPACE);

    let mut changes = watching.watch::<Product>(&call, Watch::new().with_rows());
    changes.begin().await.unwrap();
    let tea = product("Чай", 100);
    writing.commit(&call, Commit::new().insert(&tea)).await.unwrap();
    let change = changes.next().await.unwrap();
    assert_eq!(
        (change.operation, change.version, change.row.unwrap().name.as_str()),
        (Operation::Insert, 1, "Чай")
    );
    for round in 0..5 {
        // Lost before, in the middle of, and after what happens meanwhile.
        wire.cut.store(true, Ordering::SeqCst);
        for _ in 0..=round {
            let commit = Commit::new().adjust::<Product>(&tea.id, [Delta::add("stock", -1)]);
            writing.commit(&call, commit).await.unwrap();
        }
        wire.cut.store(false, Ordering::SeqCst);
        for _ in 0..=round {
            let before = changes.position().to_owned();
            let change =
                tokio::time::timeout(DEADLINE, changes.next()).await.expect("nothing comes").unwrap();
            assert_eq!(change.id, tea.id);
            assert_ne!(changes.position(), before);
        }
    }
    // 1 + 2 + 3 + 4 + 5 of them, each once and in order: the next one is the sixteenth.
    let commit = Commit::new().adjust::<Product>(&tea.id, [Delta::add("stock", -1)]);
    writing.commit(&call, commit).await.unwrap();
    assert_eq!(changes.next().await.unwrap().version, 17);

    // Another watch goes on where this one is.
    let mut other = watching.watch::<Product>(&call, Watch::new().from(changes.position()));
    other.begin().await.unwrap();
    writing.commit(&call, Commit::new().delete::<Product>(&tea.id)).await.unwrap();
    assert_eq!(other.next().await.unwrap().operation, Operation::Delete);
    let superuser = database.superuser().await.unwrap();
    superuser.batch_execute("UPDATE history SET oldest = 9000000000000000000").await.unwrap();
    let mut late = watching.watch::<Product>(&call, Watch::new().from(other.position()));
    assert_eq!(late.next().await.unwrap_err().code(), Code::OutOfRange);
}
