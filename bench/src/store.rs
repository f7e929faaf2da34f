//! persist alone, in a process of its own, over the components' PostgreSQL: everything on but the relay, so that what is
//! measured is the commit and not the broker. And how its database is made equal before each round.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use artel_client::{CALL_HEADER, Call, CallKey, Trace};
use artel_config::Config;
use artel_handle::{Blueprint, Host};
use artel_persist::{DEFAULTS, Settings};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use futures::FutureExt as _;
use tokio_postgres::{Client, NoTls};
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::cpu::Watched;
use crate::places::Places;
use crate::process::{Process, free_port};

/// The workspace of everything here.
pub const WORKSPACE: &str = "00000000-0000-7000-8000-000000000001";
/// Products there are.
pub const PRODUCTS: u32 = 10_000;
/// Connections of the load.
pub const CONNECTIONS: usize = 4;
/// What each call may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// What every round fills.
const GROWING: [&str; 4] = ["orders", "change_log", "outbox", "idempotency"];

/// A stub whose calls are signed as those of a service.
pub type Stub = PersistServiceClient<InterceptedService<Channel, Signed>>;

/// persist and its database.
pub struct Store {
    process: Process,
    address: SocketAddr,
    key: CallKey,
    postgres: u32,
    admin: Client,
    /// The owner's way in over the Unix socket, for those who do it by hand.
    pub by_hand: tokio_postgres::Config,
}

impl Store {
    /// Migrates, fills and starts.
    pub async fn start(places: &Places) -> Result<Self> {
        migrate(places).await?;
        let admin = connect(&places.superuser()).await?;
        fill(&admin).await?;
        let address = free_port()?;
        let variables = [
            ("ARTEL_CONFIG", places.config.display().to_string()),
            ("ARTEL_MESH__BIND", address.to_string()),
            // Nobody else is to find it, and it has nobody to find.
            ("ARTEL_MESH__CONSUL", "http://127.0.0.1:9".to_owned()),
            ("ARTEL_MESH__LOG", "warn".to_owned()),
        ];
        let logs = places.state.join("logs");
        let mut process = Process::ourselves("persist", &["role", "persist"], &variables, &logs)?;
        process.listens(address).await?;
        let secret = std::fs::read_to_string(&places.mesh_key_file)?;
        Ok(Self {
            process,
            address,
            key: CallKey::new(secret.trim())?,
            postgres: places.pid("postgres")?,
            admin,
            by_hand: places.owner_over_socket().parse()?,
        })
    }

    /// PostgreSQL with all its processes.
    pub fn postgres(&self) -> Watched {
        Watched::tree("PostgreSQL", self.postgres)
    }

    /// persist.
    pub fn persist(&self) -> Watched {
        Watched::tree("persist", self.process.pid())
    }

    /// New connections, and on them stubs of the service `order`; a signature is good for a minute.
    pub async fn stubs(&self) -> Result<Vec<Stub>> {
        let signed = Signed::by(&self.key)?;
        let mut stubs = Vec::new();
        for _ in 0..CONNECTIONS {
            let channel = endpoint(self.address)?.connect().await?;
            stubs.push(PersistServiceClient::with_interceptor(channel, signed.clone()));
        }
        Ok(stubs)
    }

    /// Empties what rounds fill, and leaves PostgreSQL with nothing to clean up.
    pub async fn reset(&self) -> Result<()> {
        self.admin.batch_execute(&format!("TRUNCATE {}", GROWING.join(", "))).await?;
        // Without an old snapshot in the way, vacuuming takes the rows away that updates left.
        let old =
            "SELECT count(*) FROM pg_stat_activity WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
            AND backend_type = 'client backend'";
        for _ in 0..100 {
            if self.admin.query_one(old, &[]).await?.get::<_, i64>(0) == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.admin.batch_execute("VACUUM products").await?;
        self.admin.batch_execute("CHECKPOINT").await?;
        Ok(())
    }

    /// Waits until PostgreSQL has counted the sessions of a program that ended as its own: between a session's end and
    /// that its time is nowhere.
    pub async fn left(&self, program: &str) -> Result<()> {
        let sessions = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name = '{program}'");
        while self.count(&sessions).await? > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> Result<i64> {
        Ok(self.admin.query_one(sql, &[]).await?.get(0))
    }

    /// Some SQL as the superuser.
    pub async fn execute(&self, sql: &str) -> Result<()> {
        Ok(self.admin.batch_execute(sql).await?)
    }
}

/// Signs each call, gives it a deadline and a trace of its own, as the channel between services does.
#[derive(Clone)]
pub struct Signed(MetadataValue<tonic::metadata::Ascii>);

impl Signed {
    /// Signs for the service `order`; good for a minute.
    pub fn by(key: &CallKey) -> Result<Self> {
        let token = key.sign("order", &Call::by_service("order", WORKSPACE))?;
        Ok(Self(token.parse().context("a signature that is no header")?))
    }
}

impl Interceptor for Signed {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.set_timeout(DEADLINE);
        let trace = Trace::start().to_string().parse();
        let trace = trace.map_err(|_| Status::internal("a trace that is no header"))?;
        let metadata = request.metadata_mut();
        metadata.insert(CALL_HEADER, self.0.clone());
        metadata.insert("traceparent", trace);
        Ok(request)
    }
}

/// A connection as services make it.
pub fn endpoint(address: SocketAddr) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(format!("http://{address}"))?
        .tcp_nodelay(true)
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20))
}

/// The role `persist`: what [`Store`] starts.
pub async fn serve() -> Result<()> {
    let config = std::env::var_os("ARTEL_CONFIG").map(PathBuf::from);
    let build = |host: Host| {
        async move {
            let settings: Settings = host.section(DEFAULTS)?;
            artel_persist::testing::alone(&settings).await
        }
        .boxed()
    };
    let persist = Blueprint { name: "persist", build, may_listen: false };
    artel_handle::serve(Config::load(config.as_deref())?, vec![persist]).await
}

/// The id of a product.
pub fn product_id(number: u32) -> String {
    format!("00000000-0000-7000-8000-{number:012}")
}

/// Brings the mesh's database to this version.
pub async fn migrate(places: &Places) -> Result<()> {
    let settings: Settings = Config::load(Some(&places.config))?.section("persist", DEFAULTS)?;
    artel_persist::migrate(settings.migration_url()).await?;
    Ok(())
}

/// Products to order, and nothing else.
pub async fn fill(admin: &Client) -> Result<()> {
    admin
        .batch_execute(&format!(
            "TRUNCATE products CASCADE;
            INSERT INTO products (workspace_id, id, name, description, vendor, vendor_code, price_amount_minor,
                price_currency, stock, url, version, create_time, update_time)
            SELECT '{WORKSPACE}', ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Чай ' || n,
                'Чёрный байховый, крупный лист, в жестяной коробке', 'Артель', 'T-' || n, 100, 'RUB', 1000000000,
                'https://shop.example/tea/' || n, 1, now() - n * interval '1 minute', now()
            FROM generate_series(1, {PRODUCTS}) n;"
        ))
        .await?;
    Ok(admin.batch_execute("VACUUM ANALYZE products").await?)
}

/// A connection of its own.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}
