//! PostgreSQL shows which call a statement belongs to.

use artel_client::Call;
use artel_handle::testing::direct;
use artel_proto::catalog::Product;
use artel_proto::persist::persist_service_client::PersistServiceClient;

use crate::support::{Bench, Client, WORKSPACE, adjust, insert, product};

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_carries_its_trace_while_it_lasts() {
    let bench = Bench::new().await;
    let product = product("Чай", 100);
    bench.client().commit(vec![insert(&product)]).await.unwrap();
    let mut superuser = bench.database.superuser().await.unwrap();
    let blocking = superuser.transaction().await.unwrap();
    blocking.execute("SELECT 1 FROM products FOR UPDATE", &[]).await.unwrap();

    let call = Call::by_service("order", WORKSPACE);
    let client = Client { grpc: PersistServiceClient::new(direct(&bench.service, call.clone())) };
    let take = adjust::<Product>(&product.id, "stock", -1, None);
    let waiting = tokio::spawn(async move { client.commit(vec![take]).await });
    let watcher = bench.database.superuser().await.unwrap();
    let name = format!("artel-persist {}", call.trace.id());
    let sessions = async |expected: i64| {
        let seen = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1";
        for _ in 0..200 {
            if watcher.query_one(seen, &[&name]).await.unwrap().get::<_, i64>(0) == expected {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("{expected} sessions of {name} expected");
    };
    sessions(1).await;
    blocking.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
    sessions(0).await;
}
