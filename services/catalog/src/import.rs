//! The import of a feed: its pieces go to a reader on a thread of its own, what the reader makes of them comes back in
//! batches, and a few batches are under way to storage at a time. Each step waits for the next, so that a feed of any
//! size takes the memory of a handful of pieces and batches.
//!
//! Decisions where feeds are silent:
//! * an offer is known again by its shop and its id; the shop is the feed's name, else its company, else its address;
//! * what a feed says of a product is written when the feed says something else than the last time, over what editors
//!   changed meanwhile; what it says again leaves their changes alone;
//! * stock is set when the feed's count changes, so that what was sold since stays sold; an offer that is available
//!   without a count has `assumed_stock`, one that is not available has none;
//! * a product that an editor took out of the catalogue stays out, and counts as unchanged;
//! * products that a feed leaves out stay as they are: half a feed must not empty a shop;
//! * weight, size, terms of sale and country of origin have no place in a product and are passed over;
//! * single products tell no events, the end of the import does.

mod batch;
mod reader;
mod tally;

use std::pin::pin;
use std::sync::Arc;

use artel_client::Call;
use artel_proto::catalog::{FeedImported, ImportFeedRequest, ImportFeedResponse};
use artel_repo::Commit;
use artel_util::{Error, new_id};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::api::Catalog;
use crate::import::batch::Import;
use crate::import::reader::{Limits, Piece};
use crate::import::tally::Tally;

/// Pieces of the file that wait for the reader; at most 1 MiB each.
const WAITING_PIECES: usize = 1;

/// Reads a feed to its end.
pub(crate) async fn import(
    catalog: &Catalog,
    call: &Call,
    stream: Streaming<ImportFeedRequest>,
) -> Result<ImportFeedResponse, Error> {
    let (file, pieces) = mpsc::channel(WAITING_PIECES);
    let (read, batches) = mpsc::channel(1);
    // One state of them for the whole feed.
    let settings = catalog.settings.get();
    let limits = Limits {
        workspace: call.workspace.clone(),
        assumed_stock: settings.assumed_stock,
        offers: settings.import_batch,
    };
    let reader = tokio::task::spawn_blocking(move || reader::read(pieces, &read, &limits));
    let mut tally = Tally::default();
    let (broken, stored) = {
        let (forward, store) = (
            pin!(forward(stream, file)),
            store(catalog, call, batches, settings.import_concurrency, &mut tally),
        );
        let mut store = pin!(store);
        tokio::select! {
            // Where storing fails, the rest of the file is not waited for.
            stored = &mut store => (None, stored),
            broken = forward => (broken, store.await),
        }
    };
    reader.await.map_err(Error::internal)?;
    let import = match (broken, stored) {
        // Why the file broke off, rather than that it did.
        (Some(status), Err(_)) => return Err(tally.on(status.into())),
        (_, stored) => stored.map_err(|error| tally.on(error))?,
    };
    tell(catalog, call, &import, &tally).await?;
    Ok(tally.into_response())
}

/// Hands the pieces of the file to the reader; the status it ended with, if it broke off.
async fn forward(
    mut stream: Streaming<ImportFeedRequest>,
    file: mpsc::Sender<std::io::Result<Bytes>>,
) -> Option<Status> {
    loop {
        match stream.message().await {
            Ok(Some(request)) => {
                let piece = request.file.map(|file| file.data).unwrap_or_default();
                // A reader that has gone has said why.
                file.send(Ok(piece)).await.ok()?;
            }
            Ok(None) => return None,
            Err(status) => {
                let broken = std::io::Error::other(status.message().to_owned());
                let _ = file.send(Err(broken)).await;
                return Some(status);
            }
        }
    }
}

/// Stores what the reader makes of the feed, `most` commits at a time.
async fn store(
    catalog: &Catalog,
    call: &Call,
    mut batches: mpsc::Receiver<Piece>,
    most: usize,
    tally: &mut Tally,
) -> Result<Arc<Import>, Error> {
    let mut import = Arc::new(Import::new(catalog.repo.clone(), call.clone(), new_id()));
    let mut running = FuturesUnordered::new();
    let (mut number, mut ended, mut failed) = (0_u32, false, None);
    loop {
        tokio::select! {
            Some(done) = running.next() => match done {
                Ok(outcome) => tally.add(outcome),
                // What is under way is waited for, so that the tally says what was stored.
                Err(error) => failed = Some(failed.unwrap_or(error)),
            },
            piece = batches.recv(), if !ended && failed.is_none() && running.len() < most => match piece {
                Some(Piece::Shop(shop)) => import = Arc::new(import.of_shop(shop)),
                Some(Piece::Categories(categories)) => match import.categories(categories).await {
                    Ok(true) => catalog.categories.forget(call).await,
                    Ok(false) => {}
                    Err(error) => failed = Some(error),
                },
                Some(Piece::Offers(batch)) => {
                    tally.reject(batch.rejected);
                    number += 1;
                    let import = Arc::clone(&import);
                    running.push(async move { import.offers(&batch.drafts, number).await });
                }
                Some(Piece::Failed(error)) => failed = Some(refusal(&error)),
                None => ended = true,
            },
            else => return failed.map_or(Ok(import), Err),
        }
    }
}

/// Tells of the end of an import.
async fn tell(catalog: &Catalog, call: &Call, import: &Import, tally: &Tally) -> Result<(), Error> {
    let event = FeedImported {
        import_id: import.id().to_owned(),
        shop: import.shop().to_owned(),
        imported: tally.imported,
        updated: tally.updated,
        unchanged: tally.unchanged,
        rejected: tally.rejected_count,
    };
    let commit = Commit::new().publish(&event).once(import.key("end"), Bytes::new(), Bytes::new());
    catalog.repo.commit(call, commit).await?;
    tracing::info!(
        import_id = event.import_id,
        shop = event.shop,
        imported = event.imported,
        updated = event.updated,
        unchanged = event.unchanged,
        rejected = event.rejected,
        "feed imported"
    );
    Ok(())
}

/// Why the feed could not be read further.
fn refusal(error: &artel_yml::Error) -> Error {
    let refusal = Error::new(tonic::Code::InvalidArgument, error.code(), error.to_string())
        .field("file", error.to_string());
    match error.line() {
        Some(line) => refusal.with("line", line),
        None => refusal,
    }
}
