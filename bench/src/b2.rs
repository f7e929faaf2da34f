//! B2: reads. One product by its key against pgbench's select-only and a bare echo; a page of 50 against the same SQL by
//! tokio-postgres within one process.

use std::error::Error;
use std::time::Duration;

use anyhow::Result;
use artel_proto::catalog::Product;
use artel_proto::persist::{Order, QueryRequest};
use artel_proto::types::Money;
use artel_proto::{Entity as _, Timestamp};
use async_trait::async_trait;
use tokio_postgres::types::{FromSql, Type};
use tokio_postgres::{NoTls, Row, Statement};
use uuid::Uuid;

use crate::cpu::Watched;
use crate::figures::Setting;
use crate::load;
use crate::process::{Process, free_port};
use crate::report::{Outcome, Verdict};
use crate::rounds::{Contender, Work, in_turn};
use crate::store::{CONNECTIONS, PRODUCTS, Store, Stub, WORKSPACE, endpoint};
use crate::yardstick::echo;
use crate::yardstick::pgbench::Pgbench;

/// Clients of the closed loop.
const CLIENTS: usize = 32;
const PAGE: usize = 50;
const SELECT: &str = include_str!("yardstick/select_product.sql");
/// The columns as [`SELECT`] names them.
const LIST: &str = "SELECT id, name, description, vendor, vendor_code, category_id, price_amount_minor, price_currency,
    old_price_amount_minor, old_price_currency, stock, pictures, params, barcodes, url, version, create_time,
    update_time, delete_time
    FROM products WHERE workspace_id = $1::text::uuid AND delete_time IS NULL ORDER BY create_time, id LIMIT 51";

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let store = &setting.store().await?;
    let logs = setting.places()?.state.join("logs");
    let address = free_port()?;
    let port = address.port().to_string();
    let mut server = Process::ourselves("echo", &["role", "echo", "--port", &port], &[], &logs)?;
    server.listens(address).await?;

    let mut ours = Persist { store, ask: one };
    let mut by_hand = Pgbench::new("pgbench", store, SELECT, CLIENTS, &logs)?;
    let mut bare = Bare { address, pid: server.pid() };
    let get = in_turn("B2", setting.plan, &mut [&mut ours, &mut by_hand, &mut bare]).await?;
    let rate = get[0].rate() / get[1].rate();
    let yardstick = get[1].cpu("PostgreSQL") + get[2].cpu("echo");
    let cpu = get[0].median(|sample| sample.cpu_of_all()) / yardstick;

    let mut ours = Persist { store, ask: page };
    let mut in_process = InProcess::connect(store).await?;
    let pages = in_turn("B2", setting.plan, &mut [&mut ours, &mut in_process]).await?;
    let page_cpu =
        pages[0].median(|sample| sample.cpu_of_all()) / pages[1].median(|sample| sample.cpu_of_all());
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_least("point read, rate against pgbench", "x", rate, 0.9),
            Verdict::at_most("point read, CPU against pgbench's PostgreSQL + echo", "x", cpu, 1.3),
            Verdict::at_most("page of 50, CPU against tokio-postgres", "x", page_cpu, 1.3),
        ],
        sets: vec![("point read", get), ("page of 50", pages)],
        notes: Vec::new(),
    })
}

/// persist, asked over and over for the same kind of thing.
struct Persist<'a, F> {
    store: &'a Store,
    /// Asks once, and looks at the answer.
    ask: F,
}

#[async_trait(?Send)]
impl<F, R> Contender for Persist<'_, F>
where
    F: Fn(Stub) -> R,
    R: Future<Output = Result<()>>,
{
    fn name(&self) -> &str {
        "persist"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::generator(), self.store.persist(), self.store.postgres()]
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let (stubs, ask) = (self.store.stubs().await?, &self.ask);
        load::closed(CLIENTS, time, |client| {
            let stub = &stubs[client % stubs.len()];
            move || ask(stub.clone())
        })
        .await
    }
}

async fn one(mut stub: Stub) -> Result<()> {
    let answer = stub.get(echo::request(rand::random_range(1..=PRODUCTS))).await?;
    anyhow::ensure!(answer.get_ref().items.len() == 1, "a product is missing");
    Ok(())
}

async fn page(mut stub: Stub) -> Result<()> {
    let request = QueryRequest {
        entity: Product::NAME.to_owned(),
        order_by: vec![Order { field: "create_time".to_owned(), descending: false }],
        page_size: 50,
        ..QueryRequest::default()
    };
    let answer = stub.query(request).await?.into_inner();
    anyhow::ensure!(answer.items.len() == PAGE && !answer.next_page_token.is_empty(), "no page");
    Ok(())
}

/// The echo, under the same load.
struct Bare {
    address: std::net::SocketAddr,
    pid: u32,
}

#[async_trait(?Send)]
impl Contender for Bare {
    fn name(&self) -> &str {
        "bare echo"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::generator(), Watched::tree("echo", self.pid)]
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let mut channels = Vec::new();
        for _ in 0..CONNECTIONS {
            channels.push(endpoint(self.address)?.connect().await?);
        }
        load::closed(CLIENTS, time, |client| {
            let channel = channels[client % channels.len()].clone();
            move || {
                let channel = channel.clone();
                async move { echo::call(channel, rand::random_range(1..=PRODUCTS)).await.map(drop) }
            }
        })
        .await
    }
}

/// A program that reads the page itself, and makes messages of the rows.
struct InProcess<'a> {
    store: &'a Store,
    connections: Vec<(tokio_postgres::Client, Statement)>,
}

impl<'a> InProcess<'a> {
    async fn connect(store: &'a Store) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let (client, connection) = store.by_hand.connect(NoTls).await?;
            tokio::spawn(connection);
            client.batch_execute("SET plan_cache_mode = force_generic_plan; SET jit = off").await?;
            let statement = client.prepare(LIST).await?;
            connections.push((client, statement));
        }
        Ok(Self { store, connections })
    }
}

#[async_trait(?Send)]
impl Contender for InProcess<'_> {
    fn name(&self) -> &str {
        "tokio-postgres"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::own("program"), self.store.postgres()]
    }

    async fn run(&mut self, time: Duration) -> Result<Work> {
        let connections = &self.connections;
        load::closed(CLIENTS, time, |client| {
            move || async move {
                let (connection, statement) = &connections[client % connections.len()];
                let rows = connection.query(statement, &[&WORKSPACE]).await?;
                let products = rows.iter().take(PAGE).map(product).collect::<Result<Vec<_>, _>>()?;
                anyhow::ensure!(products.len() == PAGE, "no page");
                std::hint::black_box(products);
                Ok(())
            }
        })
        .await
    }
}

fn product(row: &Row) -> Result<Product, tokio_postgres::Error> {
    let money = |amount: Option<i64>, currency: Option<String>| {
        amount.map(|amount_minor| Money { amount_minor, currency: currency.unwrap_or_default() })
    };
    Ok(Product {
        id: row.try_get::<_, Id>(0)?.0,
        name: row.try_get(1)?,
        description: row.try_get(2)?,
        vendor: row.try_get(3)?,
        vendor_code: row.try_get(4)?,
        category_id: row.try_get::<_, Option<Id>>(5)?.map(|id| id.0).unwrap_or_default(),
        price: money(row.try_get(6)?, row.try_get(7)?),
        old_price: money(row.try_get(8)?, row.try_get(9)?),
        stock: row.try_get(10)?,
        pictures: row.try_get(11)?,
        barcodes: row.try_get(13)?,
        url: row.try_get(14)?,
        version: row.try_get(15)?,
        create_time: row.try_get::<_, Option<Moment>>(16)?.map(|moment| moment.0),
        update_time: row.try_get::<_, Option<Moment>>(17)?.map(|moment| moment.0),
        delete_time: row.try_get::<_, Option<Moment>>(18)?.map(|moment| moment.0),
        ..Product::default()
    })
}

/// A uuid as text.
struct Id(String);

impl FromSql<'_> for Id {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Uuid::from_slice(raw)?.to_string()))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::UUID
    }
}

/// A moment: PostgreSQL counts microseconds from the year 2000.
struct Moment(Timestamp);

impl FromSql<'_> for Moment {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?) + 946_684_800_000_000;
        let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000)?;
        Ok(Self(Timestamp { seconds: micros.div_euclid(1_000_000), nanos }))
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::TIMESTAMPTZ
    }
}
