//! B11: a feed imported, against the slower of reading it with quick-xml and copying the same rows into the same tables;
//! and what the catalogue holds of the memory meanwhile.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use artel_client::{Channel, User};
use artel_proto::api::HttpBody;
use artel_proto::catalog::ImportFeedRequest;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{SinkExt as _, TryStreamExt as _};
use quick_xml::Reader;
use quick_xml::events::Event;
use tokio::io::AsyncReadExt as _;
use tokio_postgres::Client;

use crate::cpu::Watched;
use crate::figures::Setting;
use crate::memory::{Memory, forget_peak};
use crate::mesh::Mesh;
use crate::report::{Outcome, Verdict};
use crate::rounds::{Contender, Work, in_turn};
use crate::store::connect;

/// Bytes sent at once, as `artel import` does.
const PIECE: usize = 256 << 10;
const CATEGORIES: usize = 200;
/// What an import fills. Categories come before what names them.
const TABLES: [&str; 3] = ["categories", "products", "feed_offers"];
const EMPTY: &str =
    "TRUNCATE categories, products, feed_offers, change_log, outbox, idempotency CASCADE; CHECKPOINT";

/// Measures it.
pub async fn run(setting: &Setting) -> Result<Outcome> {
    let places = setting.places()?;
    let admin = &connect(&places.superuser()).await?;
    let mut mesh = Mesh::new(places).await?;
    let feed = Feed::write(&mesh.places.state.join("feed.yml"), setting.megabytes)?;
    println!("  B11  {} offers in {} MB", feed.offers, setting.megabytes);
    mesh.serve_each(&["persist", "catalog"], &[]).await?;
    let catalog = mesh.pid("catalog")?;
    let mut watched = mesh.watched();
    watched.push(mesh.component("PostgreSQL", "postgres")?);
    watched.push(Watched::generator());
    let stub = CatalogServiceClient::new(mesh.channels("operator").to("catalog"));

    let mut ours = Import { stub, feed: &feed, admin, watched, catalog };
    // The rows that an import makes, as PostgreSQL copies them.
    ours.reset().await?;
    ours.run(Duration::ZERO).await?;
    let rows = copy_out(admin).await?;
    let mut parse = Parse { feed: &feed };
    let postgres = mesh.component("PostgreSQL", "postgres")?;
    let mut copy = Copy { feed: &feed, admin, rows, postgres };
    let series = in_turn("B11", setting.plan, &mut [&mut ours, &mut parse, &mut copy]).await?;
    mesh.end().await?;

    let peak = series[0].median(|sample| sample.more.get("peak MB").copied().unwrap_or_default());
    let slower = series[1].rate().min(series[2].rate());
    Ok(Outcome {
        verdicts: vec![
            Verdict::at_least(
                "import, against the slower of parse and COPY",
                "x",
                series[0].rate() / slower,
                0.4,
            ),
            Verdict::at_most("import, the catalogue's peak", " MB", peak, 64.0),
        ],
        notes: vec![format!("{} offers in {} MB", feed.offers, setting.megabytes)],
        sets: vec![("offers", series)],
    })
}

/// A feed on the disk.
struct Feed {
    path: PathBuf,
    offers: u64,
}

impl Feed {
    /// Writes one of about that size; offers are as wordy as those of real shops.
    fn write(path: &Path, megabytes: u64) -> Result<Self> {
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<yml_catalog date=\"2025-11-20T17:03:00+03:00\"><shop>\n\
             <name>Мерка</name><company>ООО «Мерка»</company><url>https://shop.example/</url>\n\
             <currencies><currency id=\"RUB\" rate=\"1\"/></currencies>\n<categories>\n",
        );
        for category in 1..=CATEGORIES {
            writeln!(text, "<category id=\"{category}\">Категория {category}</category>")?;
        }
        text.push_str("</categories>\n<offers>\n");
        let (most, mut offers) = (usize::try_from(megabytes)? << 20, 0_u64);
        while text.len() < most {
            offers += 1;
            let category = offers as usize % CATEGORIES + 1;
            writeln!(
                text,
                "<offer id=\"m-{offers}\" available=\"true\"><name>Чайник электрический «Мерка» модель {offers}</name>\
                 <vendor>Мерка</vendor><vendorCode>MK-{offers}</vendorCode><url>https://shop.example/p/{offers}</url>\
                 <price>{}</price><oldprice>{}</oldprice><currencyId>RUB</currencyId>\
                 <categoryId>{category}</categoryId><picture>https://shop.example/i/{offers}-1.jpg</picture>\
                 <picture>https://shop.example/i/{offers}-2.jpg</picture><description>Чайник номер {offers} из \
                 нержавеющей стали с двойными стенками, снаружи остаётся прохладным, внутри долго держит тепло. \
                 Крышка открывается кнопкой, носик наливает тонкой струёй, подсветка не слепит ночью.</description>\
                 <barcode>46{offers:011}</barcode><param name=\"Объём\" unit=\"л\">1.7</param>\
                 <param name=\"Мощность\" unit=\"Вт\">2200</param><param name=\"Цвет\">графит</param>\
                 <count>{}</count></offer>",
                1_000 + offers % 9_000,
                11_000 + offers % 9_000,
                offers % 100,
            )?;
        }
        text.push_str("</offers>\n</shop></yml_catalog>\n");
        std::fs::write(path, text)?;
        Ok(Self { path: path.to_owned(), offers })
    }
}

/// The feed sent to the catalogue.
struct Import<'a> {
    stub: CatalogServiceClient<Channel>,
    feed: &'a Feed,
    admin: &'a Client,
    watched: Vec<Watched>,
    catalog: u32,
}

#[async_trait(?Send)]
impl Contender for Import<'_> {
    fn name(&self) -> &str {
        "import"
    }

    fn watched(&self) -> Vec<Watched> {
        self.watched.clone()
    }

    async fn reset(&mut self) -> Result<()> {
        self.admin.batch_execute(EMPTY).await?;
        forget_peak(self.catalog)
    }

    async fn run(&mut self, _: Duration) -> Result<Work> {
        let file = tokio::fs::File::open(&self.feed.path).await?;
        let pieces = futures::stream::unfold(file, |mut file| async move {
            let mut piece = BytesMut::with_capacity(PIECE);
            // A file that was just written is there.
            let read = file.read_buf(&mut piece).await.ok().filter(|read| *read > 0)?;
            let data = piece.split_to(read).freeze();
            let file_part =
                HttpBody { content_type: "application/xml".to_owned(), data, ..HttpBody::default() };
            Some((ImportFeedRequest { file: Some(file_part) }, file))
        });
        let mut call = Mesh::call("operator");
        let id = "00000000-0000-7000-8000-0000000000ff".to_owned();
        call.user = Some(User { id, roles: vec!["catalog_editor".to_owned()], locale: "en".to_owned() });
        let answer = self.stub.clone().import_feed(call.request(pieces)).await?.into_inner();
        let imported = u64::try_from(answer.imported)?;
        anyhow::ensure!(imported == self.feed.offers, "{imported} of {} offers imported", self.feed.offers);
        let peak = Memory::of(self.catalog)?.peak;
        let more = [("peak MB".to_owned(), peak)].into_iter().collect();
        Ok(Work { done: imported, more, ..Work::default() })
    }
}

/// The feed read, and nothing done with it.
struct Parse<'a> {
    feed: &'a Feed,
}

#[async_trait(?Send)]
impl Contender for Parse<'_> {
    fn name(&self) -> &str {
        "quick-xml"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::own("program")]
    }

    async fn run(&mut self, _: Duration) -> Result<Work> {
        let mut reader = Reader::from_file(&self.feed.path)?;
        let (mut buffer, mut offers) = (Vec::new(), 0);
        loop {
            match reader.read_event_into(&mut buffer)? {
                Event::Start(start) if start.name().as_ref() == "offer" => offers += 1,
                Event::Text(text) => {
                    std::hint::black_box(&*text);
                }
                Event::Eof => break,
                _ => {}
            }
            buffer.clear();
        }
        anyhow::ensure!(offers == self.feed.offers, "{offers} of {} offers read", self.feed.offers);
        Ok(Work { done: offers, ..Work::default() })
    }
}

/// A table's columns and its rows in COPY's binary format.
struct Rows {
    table: &'static str,
    columns: String,
    binary: Vec<Bytes>,
}

async fn copy_out(admin: &Client) -> Result<Vec<Rows>> {
    let mut all = Vec::new();
    for table in TABLES {
        let columns = "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
            FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1
            AND is_generated = 'NEVER'";
        let columns: Option<String> = admin.query_one(columns, &[&table]).await?.get(0);
        let columns = columns.with_context(|| format!("no table {table}"))?;
        let copy = format!("COPY {table} ({columns}) TO STDOUT (FORMAT binary)");
        let binary = admin.copy_out(&copy).await?.try_collect().await?;
        all.push(Rows { table, columns, binary });
    }
    Ok(all)
}

/// The same rows, copied.
struct Copy<'a> {
    feed: &'a Feed,
    admin: &'a Client,
    rows: Vec<Rows>,
    postgres: Watched,
}

#[async_trait(?Send)]
impl Contender for Copy<'_> {
    fn name(&self) -> &str {
        "COPY"
    }

    fn watched(&self) -> Vec<Watched> {
        vec![Watched::own("program"), self.postgres.clone()]
    }

    async fn reset(&mut self) -> Result<()> {
        Ok(self.admin.batch_execute(EMPTY).await?)
    }

    async fn run(&mut self, _: Duration) -> Result<Work> {
        self.admin.batch_execute("BEGIN").await?;
        for Rows { table, columns, binary } in &self.rows {
            let copy = format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)");
            let sink = self.admin.copy_in(&copy).await?;
            futures::pin_mut!(sink);
            let mut pieces = futures::stream::iter(binary.iter().cloned().map(Ok));
            sink.send_all(&mut pieces).await?;
            sink.finish().await?;
        }
        self.admin.batch_execute("COMMIT").await?;
        let count = self.admin.query_one("SELECT count(*) FROM products", &[]).await?.get::<_, i64>(0);
        anyhow::ensure!(u64::try_from(count)? == self.feed.offers, "{count} products were copied");
        Ok(Work { done: self.feed.offers, ..Work::default() })
    }
}
