//! Reads the feed and makes batches of it: entities ready to be compared with what is stored. Runs on a thread that
//! may block.

use std::io;
use std::iter::from_fn;

use artel_proto::Message as _;
use artel_proto::catalog::{Category, RejectedOffer};
use artel_yml::{Chunks, Feed, Item};
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::domain::offer::{self, Draft};

/// Categories handed over at once.
const CATEGORIES: usize = 400;
/// A batch is full when its products take this many bytes, however few they are.
const BYTES: usize = 512 << 10;

/// What the reader goes by.
pub(crate) struct Limits {
    pub(crate) workspace: String,
    pub(crate) assumed_stock: i32,
    /// Offers of a batch.
    pub(crate) offers: usize,
}

/// What the reader hands over, in the feed's order.
pub(crate) enum Piece {
    /// Whose feed it is; comes first.
    Shop(String),
    /// Categories, parents before children.
    Categories(Vec<Category>),
    /// Offers of categories that came before.
    Offers(Batch),
    /// The feed could not be read further.
    Failed(artel_yml::Error),
}

/// Offers, and those that were refused among them.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) drafts: Vec<Draft>,
    pub(crate) rejected: Vec<RejectedOffer>,
    bytes: usize,
}

/// Reads the file and hands over what is in it. Ends early when nobody wants it any more.
pub(crate) fn read(mut file: Receiver<io::Result<Bytes>>, pieces: &Sender<Piece>, limits: &Limits) {
    let chunks = Chunks::new(from_fn(move || file.blocking_recv()));
    let mut maker =
        Maker { pieces, limits, shop: String::new(), categories: Vec::new(), batch: Batch::default() };
    for item in Feed::new(chunks) {
        let taken = match item {
            Ok(item) => maker.take(item),
            Err(error) => maker.flush().and_then(|()| maker.hand_over(Piece::Failed(error))),
        };
        if taken.is_none() {
            return;
        }
    }
    let _ = maker.flush();
}

/// Collects what belongs together. `None` from its methods means that nobody listens.
struct Maker<'a> {
    pieces: &'a Sender<Piece>,
    limits: &'a Limits,
    shop: String,
    categories: Vec<Category>,
    batch: Batch,
}

impl Maker<'_> {
    fn take(&mut self, item: Item) -> Option<()> {
        match item {
            Item::Shop(shop) => {
                self.shop = offer::shop_name(&shop);
                self.hand_over(Piece::Shop(self.shop.clone()))
            }
            Item::Category(category) => {
                self.categories.push(offer::category(&self.limits.workspace, &self.shop, category));
                if self.categories.len() < CATEGORIES { Some(()) } else { self.flush_categories() }
            }
            Item::Offer(read) => {
                self.flush_categories()?;
                let category_id = offer::category_id(&self.limits.workspace, &self.shop, &read.category_id);
                match offer::draft(*read, category_id, self.limits.assumed_stock) {
                    Ok(draft) => {
                        self.batch.bytes += draft.product.encoded_len();
                        self.batch.drafts.push(draft);
                    }
                    Err(rejected) => self.batch.rejected.push(rejected),
                }
                self.flush_if_full()
            }
            Item::Rejected(rejected) => {
                self.batch.rejected.push(offer::rejected(rejected));
                self.flush_if_full()
            }
            Item::Warning(warning) => {
                tracing::debug!(line = warning.line, offer_id = warning.offer_id, flaw = %warning.flaw, "in a feed");
                Some(())
            }
            Item::Currency(_) => Some(()),
        }
    }

    fn flush_if_full(&mut self) -> Option<()> {
        let batch = &self.batch;
        let full = batch.drafts.len() >= self.limits.offers
            || batch.rejected.len() >= self.limits.offers
            || batch.bytes >= BYTES;
        if full { self.flush() } else { Some(()) }
    }

    fn flush(&mut self) -> Option<()> {
        self.flush_categories()?;
        let batch = std::mem::take(&mut self.batch);
        if batch.drafts.is_empty() && batch.rejected.is_empty() {
            return Some(());
        }
        self.hand_over(Piece::Offers(batch))
    }

    fn flush_categories(&mut self) -> Option<()> {
        let categories = std::mem::take(&mut self.categories);
        if categories.is_empty() { Some(()) } else { self.hand_over(Piece::Categories(categories)) }
    }

    fn hand_over(&self, piece: Piece) -> Option<()> {
        self.pieces.blocking_send(piece).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use tokio::sync::mpsc::channel;

    use super::*;

    fn pieces(feed: &str, offers: usize) -> Vec<String> {
        let (file, chunks) = channel(100);
        for chunk in feed.as_bytes().chunks(1 + feed.len() / 50) {
            file.try_send(Ok(Bytes::copy_from_slice(chunk))).unwrap();
        }
        drop(file);
        let (sender, mut receiver) = channel(1_000);
        read(chunks, &sender, &Limits { workspace: "w".into(), assumed_stock: 100, offers });
        drop(sender);
        let shown = |piece| match piece {
            Piece::Shop(shop) => shop,
            Piece::Categories(all) => format!("{} categories", all.len()),
            Piece::Offers(batch) => format!("{}+{}", batch.drafts.len(), batch.rejected.len()),
            Piece::Failed(error) => error.code().to_owned(),
        };
        std::iter::from_fn(|| receiver.blocking_recv()).map(shown).collect()
    }

    fn feed(offers: &str) -> String {
        format!(
            "<yml_catalog><shop><name>Лавка</name><categories><category id='1'>A</category>\
             <category id='2' parentId='1'>B</category></categories><offers>{offers}</offers></shop></yml_catalog>"
        )
    }

    fn offer(id: usize, size: usize) -> String {
        format!(
            "<offer id='{id}'><name>N</name><price>1</price><currencyId>RUR</currencyId><categoryId>2</categoryId>\
             <description>{}</description></offer>",
            "x ".repeat(size / 2)
        )
    }

    #[test]
    fn batches_are_full_by_count() {
        let mut offers = String::new();
        for id in 0..5 {
            write!(offers, "{}", offer(id, 0)).unwrap();
        }
        offers.push_str("<offer id='x'/>");
        assert_eq!(pieces(&feed(&offers), 2), ["Лавка", "2 categories", "2+0", "2+0", "1+1"]);
    }

    #[test]
    fn batches_are_full_by_size() {
        let mut offers = String::new();
        for id in 0..120 {
            write!(offers, "{}", offer(id, 20_000)).unwrap();
        }
        assert_eq!(
            pieces(&feed(&offers), 400),
            ["Лавка", "2 categories", "27+0", "27+0", "27+0", "27+0", "12+0"]
        );
    }

    #[test]
    fn what_came_before_a_broken_end_is_handed_over_first() {
        let whole = feed(&offer(1, 0));
        let broken = whole.split("</offers>").next().unwrap();
        assert_eq!(pieces(broken, 250), ["Лавка", "2 categories", "1+0", "FEED_TRUNCATED"]);
    }
}
