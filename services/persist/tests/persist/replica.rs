//! Reads that bear it may come from a replica, a real one here that streams from the server of all tests; and a read
//! after one's own commit sees it.

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use artel_config::Secret;
use artel_persist::testing::{TestDatabase, relaying};
use artel_proto::Entity as _;
use artel_proto::Message as _;
use artel_proto::catalog::Product;
use artel_proto::persist::{
    AggregateRequest, Comparison, Consistency, Filter, GetRequest, Measure, MeasureKind, Operator,
    QueryRequest, Value, filter::Node, value::Kind,
};
use tokio_postgres::{Client as Postgres, NoTls};

use crate::broker::Nowhere;
use crate::support::*;

const DEADLINE: Duration = Duration::from_secs(60);

/// A copy of the whole server that follows it.
struct Standby {
    folder: PathBuf,
    port: u16,
    process: Child,
}

impl Standby {
    fn start() -> Self {
        let primary = std::env::var("ARTEL_TEST_POSTGRES").unwrap();
        let folder = std::env::temp_dir().join(format!("artel-standby-{}", uuid::Uuid::now_v7().simple()));
        std::fs::create_dir(&folder).unwrap();
        if is_root() {
            let given = Command::new("chown").arg("postgres").arg(&folder).status().unwrap();
            assert!(given.success());
        }
        let data = folder.join("data");
        let copied = program("pg_basebackup")
            .args(["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--dbname", &primary])
            .arg("--pgdata")
            .arg(&data)
            .current_dir("/")
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = program("postgres")
            .arg("-D")
            .arg(&data)
            .args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=300", "-c", "fsync=off"])
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, port, process }
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    async fn superuser(&self, database: &TestDatabase) -> Postgres {
        let url = database.superuser_url_at(&self.address());
        let connecting = async {
            loop {
                match tokio_postgres::connect(&url, NoTls).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        return client;
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        tokio::time::timeout(DEADLINE, connecting).await.expect("the replica does not start")
    }

    fn stop(&mut self) {
        // PostgreSQL's fast shutdown; it ends its own processes.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-INT", &pid]).status();
        let _ = self.process.wait();
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

/// A program of PostgreSQL's, which refuses to be run by root.
fn program(name: &str) -> Command {
    let folder = std::env::var("ARTEL_TEST_POSTGRES_BIN").expect("ARTEL_TEST_POSTGRES_BIN: set as by xtask");
    let path = Path::new(&folder).join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(path);
    command
}

fn stale(position: i64) -> Option<Consistency> {
    Some(Consistency { allow_stale: true, position })
}

/// The stock of a product as each way of reading has it.
async fn stocks(client: &Client, id: &str, consistency: Option<Consistency>) -> [i64; 3] {
    let (entity, mut grpc) = (Product::NAME.to_owned(), client.grpc.clone());
    let get = GetRequest { entity: entity.clone(), ids: vec![id.to_owned()], consistency };
    let got = answer(grpc.get(get).await).unwrap().items.remove(0);
    let compare = Comparison {
        field: "id".into(),
        operator: Operator::Equal.into(),
        values: vec![Value { kind: Some(Kind::StringValue(id.to_owned())) }],
    };
    let filter = Some(Filter { node: Some(Node::Compare(compare)) });
    let query =
        QueryRequest { entity: entity.clone(), r#where: filter.clone(), consistency, ..Default::default() };
    let found = answer(grpc.query(query).await).unwrap().items.remove(0);
    let aggregate = AggregateRequest {
        entity,
        r#where: filter,
        measures: vec![Measure { kind: MeasureKind::Sum.into(), field: "stock".into() }],
        consistency,
        ..AggregateRequest::default()
    };
    let row = answer(grpc.aggregate(aggregate).await).unwrap().rows.remove(0);
    let Some(Kind::IntValue(sum)) = row.measures[0].kind else { panic!("{row:?}") };
    let stock = |body: bytes::Bytes| i64::from(Product::decode(body).unwrap().stock);
    [stock(got), stock(found), sum]
}

/// Waits until what is read is that.
async fn until(client: &Client, id: &str, consistency: Option<Consistency>, stock: i64) {
    let reading = async {
        while stocks(client, id, consistency).await != [stock; 3] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.unwrap_or_else(|_| panic!("the stock never is {stock}"));
}

async fn pause(replica: &Postgres) {
    replica.execute("SELECT pg_wal_replay_pause()", &[]).await.unwrap();
    let paused = async {
        let sql = "SELECT pg_get_wal_replay_pause_state()";
        while replica.query_one(sql, &[]).await.unwrap().get::<_, String>(0) != "paused" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, paused).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_after_ones_own_commit_sees_it_and_others_may_be_stale() {
    let database = TestDatabase::create().await.unwrap();
    let mut standby = Standby::start();
    let replica = standby.superuser(&database).await;
    let mut settings = database.settings().unwrap();
    settings.set_replica_url(Secret::new(database.url_at(&standby.address(), "artel")));
    let (service, _relay) = relaying(&settings, Nowhere).await.unwrap();
    let client = client(&service, WORKSPACE);
    let tea = product("Чай", 5);
    client.commit(vec![insert(&tea)]).await.unwrap();
    let in_replica = async || {
        let sql = "SELECT count(*) FROM products";
        replica.query_one(sql, &[]).await.unwrap().get::<_, i64>(0)
    };
    let following = async {
        while in_replica().await == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, following).await.unwrap();
    let take = || client.commit(vec![adjust::<Product>(&tea.id, "stock", -1, None)]);

    pause(&replica).await;
    let fourth = take().await.unwrap().position;
    // Who bears it is told what was: by the replica, which has not heard of it.
    until(&client, &tea.id, stale(0), 5).await;
    // Who made the commit is not, nor is who says nothing.
    assert_eq!(stocks(&client, &tea.id, stale(fourth)).await, [4; 3]);
    assert_eq!(stocks(&client, &tea.id, None).await, [4; 3]);
    let strict = Some(Consistency { allow_stale: false, position: fourth });
    assert_eq!(stocks(&client, &tea.id, strict).await, [4; 3]);

    replica.execute("SELECT pg_wal_replay_resume()", &[]).await.unwrap();
    until(&client, &tea.id, stale(0), 4).await;
    // Other tests have transactions in this cluster, too; until those of before have ended the replica is behind them.
    let caught_up = async {
        let sql = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint";
        while replica.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) <= fourth {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, caught_up).await.unwrap();
    pause(&replica).await;
    let third = take().await.unwrap().position;
    // The replica has come as far as this read must see; the primary would say 3.
    until(&client, &tea.id, stale(fourth), 4).await;
    assert_eq!(stocks(&client, &tea.id, stale(third)).await, [3; 3]);
    // Another workspace sees nothing there, either.
    let other = crate::support::client(&service, OTHER);
    let get = GetRequest { entity: Product::NAME.into(), ids: vec![tea.id.clone()], consistency: stale(0) };
    assert!(answer(other.grpc.clone().get(get).await).unwrap().items.is_empty());
    // Without it, the primary answers.
    standby.stop();
    assert_eq!(stocks(&client, &tea.id, stale(0)).await, [3; 3]);
    assert_eq!(stocks(&client, &tea.id, stale(fourth)).await, [3; 3]);
}
