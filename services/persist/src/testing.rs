//! For tests: persist itself on a database of its own, made by the superuser of `ARTEL_TEST_POSTGRES` and dropped in
//! the end. Handlers of other services are tested over it.

use std::sync::Arc;

use anyhow::Context as _;
use artel_config::{Config, Secret};
use artel_handle::{CancellationToken, Service};
use artel_proto::persist::persist_service_server::PersistServiceServer;
use artel_queue::{Event, Outcome, Unfinished};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::api::Api;
use crate::persist::{DEFAULTS, Persist, Settings};
use crate::relay::{Broker, Relay};
use crate::sweep::{sweep_keys, sweep_outbox};

/// The variable that holds the superuser's URL.
const VARIABLE: &str = "ARTEL_TEST_POSTGRES";

/// The largest request, as `mesh.max_message_bytes` has it.
const MESSAGE: usize = 32 << 20;
/// Seals the change logs of tests.
const SEAL_KEY: &str = "5ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea15ea1";

const ROLES: &str = "DO $$ BEGIN
    PERFORM pg_advisory_xact_lock(1635018);
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'artel_owner') THEN CREATE ROLE artel_owner; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'artel') THEN CREATE ROLE artel; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'artel_system') THEN
        CREATE ROLE artel_system BYPASSRLS;
    END IF;
END $$";

/// A migrated database. It is dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    url: String,
    name: String,
}

impl TestDatabase {
    /// Makes and migrates a database.
    ///
    /// # Errors
    /// Where `ARTEL_TEST_POSTGRES` is not set or its server refuses.
    pub async fn create() -> anyhow::Result<Self> {
        let database = Self::empty().await?;
        crate::migrate(&Secret::new(database.url("artel_owner"))).await?;
        Ok(database)
    }

    /// Makes a database as it was before a migration.
    ///
    /// # Errors
    /// Where `ARTEL_TEST_POSTGRES` is not set or its server refuses.
    pub async fn before(migration: &str) -> anyhow::Result<Self> {
        let database = Self::empty().await?;
        crate::migrate::migrate_before(&Secret::new(database.url("artel_owner")), Some(migration)).await?;
        Ok(database)
    }

    /// Brings the database up to date.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn migrate(&self) -> anyhow::Result<()> {
        crate::migrate(&Secret::new(self.url("artel_owner"))).await?;
        Ok(())
    }

    /// Makes a database without any table.
    ///
    /// # Errors
    /// Where `ARTEL_TEST_POSTGRES` is not set or its server refuses.
    pub async fn empty() -> anyhow::Result<Self> {
        let url = std::env::var(VARIABLE).with_context(|| {
            format!("{VARIABLE} is not set: `cargo xtask test` sets it, or name a superuser's URL")
        })?;
        let name = format!("artel_test_{}", uuid::Uuid::now_v7().simple());
        let admin = connect(&url).await?;
        admin.batch_execute(ROLES).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name} OWNER artel_owner")).await?;
        let database = Self { url, name };
        let inside = connect(&database.with("", &[])).await?;
        inside
            .batch_execute(
                "ALTER SCHEMA public OWNER TO artel_owner; GRANT USAGE ON SCHEMA public TO artel, artel_system",
            )
            .await?;
        Ok(database)
    }

    /// The URL of a role. The superuser takes the role on, since nobody knows the passwords of the roles themselves;
    /// row-level security binds it all the same.
    #[must_use]
    pub fn url(&self, role: &str) -> String {
        self.with("", &[role])
    }

    /// The same at another address, `host:port`: for a proxy in between.
    #[must_use]
    pub fn url_at(&self, address: &str, role: &str) -> String {
        self.with(address, &[role])
    }

    /// The superuser's URL at another address.
    #[must_use]
    pub fn superuser_url_at(&self, address: &str) -> String {
        self.with(address, &[])
    }

    /// A connection as the superuser.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn superuser(&self) -> anyhow::Result<Client> {
        connect(&self.with("", &[])).await
    }

    /// What separates the database from the entities, as SQL; empty where nothing does.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn missing_migration(&self) -> anyhow::Result<String> {
        let settings = self.settings()?;
        crate::missing_migration(&settings).await
    }

    /// Sweeps once, as persist does from time to time, as if it were this many days later.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn sweep(&self, later: i64) -> anyhow::Result<()> {
        let settings = self.settings()?;
        let persist = Persist::open(&settings).await?;
        sweep_keys(persist.system.clone(), settings.idempotency_days).await?;
        let today = chrono::Utc::now().date_naive() + chrono::Duration::days(later);
        Ok(sweep_outbox(persist.system.clone(), settings.outbox_days, today).await?)
    }

    /// Seals once what the change log holds by now, as persist does all the time; how many rows that were.
    ///
    /// # Errors
    /// Where the server refuses.
    pub async fn seal(&self) -> anyhow::Result<usize> {
        seal(&self.settings()?).await
    }

    /// The host and port of the server.
    #[must_use]
    pub fn address(&self) -> String {
        let rest = self.url.split_once("://").map_or(self.url.as_str(), |(_, rest)| rest);
        let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or_default().to_owned()
    }

    /// Persist's settings for this database.
    ///
    /// # Errors
    /// Where persist's own defaults are wrong.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings: Settings = Config::parse("")?.section("persist", DEFAULTS)?;
        settings.database_url = Secret::new(self.url("artel"));
        settings.system_url = Secret::new(self.url("artel_system"));
        settings.seal_key = Secret::new(SEAL_KEY);
        Ok(settings)
    }

    /// Persist on this database, to be called by `artel_handle::testing::direct`. Nothing runs beside its API: events
    /// stay in the outbox.
    ///
    /// # Errors
    /// Where the database does not fit.
    pub async fn persist(&self) -> anyhow::Result<Service> {
        alone(&self.settings()?).await
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// Where the database does not fit.
    pub async fn persist_with(&self, settings: &Settings) -> anyhow::Result<Service> {
        Ok(api(Arc::new(Persist::open(settings).await?)))
    }

    /// Persist with a relay to this broker, which runs until the test's runtime ends or the handle is aborted.
    ///
    /// # Errors
    /// Where the database does not fit.
    pub async fn relaying(&self, broker: impl Broker) -> anyhow::Result<(Service, JoinHandle<()>)> {
        relaying(&self.settings()?, broker).await
    }

    /// Persist with a relay that hands each event to the test.
    ///
    /// # Errors
    /// Where the database does not fit.
    pub async fn telling(&self) -> anyhow::Result<(Service, mpsc::UnboundedReceiver<Event>)> {
        let (teller, told) = mpsc::unbounded_channel();
        let (service, _) = self.relaying(Teller(teller)).await?;
        Ok((service, told))
    }

    fn with(&self, address: &str, role: &[&str]) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("postgres", &self.url));
        let (credentials, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let host = if address.is_empty() { host } else { address };
        let query = rest.split_once('?').map(|(_, query)| query.to_owned());
        let role = role.iter().map(|role| format!("options=-c%20role%3D{role}"));
        let query = query.into_iter().chain(role).collect::<Vec<_>>().join("&");
        let at = if credentials.is_empty() { String::new() } else { format!("{credentials}@") };
        format!("{scheme}://{at}{host}/{}?{query}", self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (self.url.clone(), self.name.clone());
        // In a thread of its own: the test's runtime may be on its way out.
        let dropping = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                if let Ok(admin) = connect(&url).await {
                    let _ =
                        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

/// Persist with these settings, without a relay: events stay in the outbox.
///
/// # Errors
/// Where the database does not fit.
pub async fn alone(settings: &Settings) -> anyhow::Result<Service> {
    Ok(api(Arc::new(Persist::open(settings).await?)))
}

/// A broker that hands everything to the test.
struct Teller(mpsc::UnboundedSender<Event>);

impl Broker for Teller {
    async fn publish(&self, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        for event in batch {
            let _ = self.0.send(event.clone());
        }
        Ok(vec![Outcome::Confirmed; batch.len()])
    }

    async fn resend(&self, _: &str, batch: &[Event]) -> Result<Vec<Outcome>, Unfinished> {
        self.publish(batch).await
    }
}

/// Persist with these settings and a relay to this broker.
///
/// # Errors
/// Where the database does not fit.
pub async fn relaying(settings: &Settings, broker: impl Broker) -> anyhow::Result<(Service, JoinHandle<()>)> {
    relaying_until(CancellationToken::new(), settings, broker).await
}

/// The same, until it is told to stop and leaves in good order.
///
/// # Errors
/// Where the database does not fit.
pub async fn relaying_until(
    stop: CancellationToken,
    settings: &Settings,
    broker: impl Broker,
) -> anyhow::Result<(Service, JoinHandle<()>)> {
    let persist = Arc::new(Persist::open(settings).await?);
    let relay = Relay::of(&persist, broker, settings);
    let watched = Arc::clone(&persist);
    let running = tokio::spawn(async move {
        tokio::select! {
            () = relay.run(stop) => {}
            () = watched.watch() => {}
        }
    });
    Ok((api(persist), running))
}

/// Seals once, with these settings.
///
/// # Errors
/// Where the server refuses.
pub async fn seal(settings: &Settings) -> anyhow::Result<usize> {
    let sealer = Persist::open(settings).await?.sealer(settings);
    sealer.once().await.map_err(|failure| anyhow::anyhow!("{failure:?}"))
}

/// Seals all the time, until the runtime ends or the handle is aborted.
///
/// # Errors
/// Where the database does not fit.
pub async fn sealing(settings: &Settings) -> anyhow::Result<JoinHandle<()>> {
    let sealer = Persist::open(settings).await?.sealer(settings);
    Ok(tokio::spawn(sealer.run()))
}

fn api(persist: Arc<Persist>) -> Service {
    let history = Arc::clone(&persist.history);
    Service::new("persist")
        .task(|draining| history.close(draining))
        .needs("postgres", persist.database.up())
        .grpc(PersistServiceServer::new(Api(persist)).max_decoding_message_size(MESSAGE))
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
