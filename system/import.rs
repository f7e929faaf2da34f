//! `artel import`: a feed goes from a file into the running mesh.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use artel_proto::api::HttpBody;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use artel_proto::catalog::{ImportFeedRequest, ImportFeedResponse};
use bytes::BytesMut;
use futures::Stream;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tonic::{Code, Status};

use crate::operator::Operator;

/// Bytes sent at once.
const PIECE: usize = 256 << 10;
/// Refused offers that are shown.
const SHOWN: usize = 20;

/// Imports a Yandex Market Language feed into the mesh that the endpoints file names, shows how far it is, and prints
/// what became of the offers.
///
/// # Errors
/// Where the file cannot be read, the mesh is not found, or the feed cannot be read to its end. Refused offers are no
/// error.
pub(crate) async fn run(file: &Path, endpoints: &Path) -> anyhow::Result<()> {
    let input = File::open(file).await.with_context(|| format!("cannot read {}", file.display()))?;
    let about = input.metadata().await?;
    ensure!(about.is_file(), "{} is not a file", file.display());
    let operator = Operator::connect(endpoints)?;

    let progress = Arc::new(Progress::new(about.len()));
    let broken = Arc::new(Mutex::new(None));
    let pieces = pieces(input, Arc::clone(&progress), Arc::clone(&broken));
    let request = operator.call_with_role("catalog_editor").request(pieces);
    let answer = CatalogServiceClient::new(operator.channels.to("catalog")).import_feed(request).await;
    progress.bar.finish_and_clear();
    if let Some(error) = broken.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error).with_context(|| format!("{} could not be read to its end", file.display()));
    }
    match answer {
        Ok(answer) => {
            print!("{}", table(&answer.into_inner()));
            Ok(())
        }
        Err(status) => bail!("{}", explain(&status)),
    }
}

/// The file in pieces. Where reading fails, the pieces end and the error is kept.
fn pieces(
    input: File,
    progress: Arc<Progress>,
    broken: Arc<Mutex<Option<io::Error>>>,
) -> impl Stream<Item = ImportFeedRequest> + Send + 'static {
    futures::stream::unfold((input, progress, broken), |(mut input, progress, broken)| async move {
        let mut piece = BytesMut::with_capacity(PIECE);
        match input.read_buf(&mut piece).await {
            Ok(0) => return None,
            Ok(read) => progress.advance(read as u64),
            Err(error) => {
                *broken.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return None;
            }
        }
        let file = HttpBody {
            content_type: "application/xml".to_owned(),
            data: piece.freeze(),
            ..HttpBody::default()
        };
        Some((ImportFeedRequest { file: Some(file) }, (input, progress, broken)))
    })
}

/// A bar on a terminal, a line for each tenth elsewhere.
struct Progress {
    bar: ProgressBar,
    tenths: AtomicU64,
}

impl Progress {
    fn new(size: u64) -> Self {
        let style =
            ProgressStyle::with_template("{bar:32} {bytes} of {total_bytes}  {bytes_per_sec}  {eta} left");
        let bar = ProgressBar::new(size);
        Self {
            bar: bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())),
            tenths: AtomicU64::new(0),
        }
    }

    fn advance(&self, bytes: u64) {
        self.bar.inc(bytes);
        let (sent, all) = (self.bar.position(), self.bar.length().unwrap_or_default().max(1));
        let tenths = sent.saturating_mul(10) / all;
        if self.bar.is_hidden() && tenths > self.tenths.fetch_max(tenths, Ordering::Relaxed) {
            eprintln!("{} of {}", HumanBytes(sent), HumanBytes(all));
        }
    }
}

fn table(answer: &ImportFeedResponse) -> String {
    let mut text = format!(
        "imported   {:>9}\nupdated    {:>9}\nunchanged  {:>9}\nrejected   {:>9}\n",
        answer.imported, answer.updated, answer.unchanged, answer.rejected_count
    );
    if answer.rejected.is_empty() {
        return text;
    }
    let shown = &answer.rejected[..answer.rejected.len().min(SHOWN)];
    let width = shown.iter().map(|offer| offer.offer_id.chars().count()).max().unwrap_or(0).max(5);
    text.push_str(&format!("\n{:>9}  {:width$}  reason\n", "line", "offer"));
    for offer in shown {
        text.push_str(&format!("{:>9}  {:width$}  {}\n", offer.line, offer.offer_id, offer.reason));
    }
    let more = usize::try_from(answer.rejected_count).unwrap_or_default().saturating_sub(shown.len());
    if more > 0 {
        text.push_str(&format!("{:>9}  and {more} more\n", ""));
    }
    text
}

/// The service's own words, what was stored before, and what to do where nobody answers.
fn explain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    if artel_util::reason(status).as_deref() == Some("NO_INSTANCES") {
        text.push_str(" Is the mesh running? `cargo xtask status` says so, `cargo xtask up` starts it.");
    }
    let said = artel_util::metadata(status);
    let count = |key: &str| said.get(key).and_then(|count| count.parse::<u64>().ok()).unwrap_or_default();
    let stored = count("imported") + count("updated") + count("unchanged");
    if stored > 0 {
        text.push_str(&format!(
            "\nBefore that, {stored} offers were read and stay: {} imported, {} updated, {} unchanged; {} were \
             rejected. Sending the feed again is safe.",
            count("imported"),
            count("updated"),
            count("unchanged"),
            count("rejected")
        ));
    } else if status.code() == Code::InvalidArgument {
        text.push_str("\nNothing was imported.");
    }
    text
}
