//! Batches of a feed against what is stored: what is new is inserted, what changed is updated, the rest stays. Two
//! imports of one feed at a time are told apart by what is unique; the later looks again.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use artel_client::Call;
use artel_proto::Entity as _;
use artel_proto::catalog::{Category, FeedOffer, Product};
use artel_repo::{Commit, Filter, Query, Repo};
use artel_util::{Error, new_id};
use bytes::Bytes;
use tonic::Code;

use crate::domain::offer::Draft;
use crate::domain::product::EDITABLE;

/// How often a batch is compared anew when somebody else writes the same.
const ATTEMPTS: u32 = 8;
const PAUSE: Duration = Duration::from_millis(20);
/// More offers than a batch has.
const PAGE: i32 = 1_000;
/// How many there are: what is sold between two feeds changes it too.
const STOCK: &str = "stock";

/// One import of one feed.
pub(crate) struct Import {
    repo: Repo,
    call: Call,
    id: String,
    shop: String,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) imported: i32,
    pub(crate) updated: i32,
    pub(crate) unchanged: i32,
}

impl Import {
    pub(crate) fn new(repo: Repo, call: Call, id: String) -> Self {
        Self { repo, call, id, shop: String::new() }
    }

    /// The same import, now that its shop is known.
    pub(crate) fn of_shop(&self, shop: String) -> Self {
        Self { repo: self.repo.clone(), call: self.call.clone(), id: self.id.clone(), shop }
    }

    /// The import's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whose feed it is.
    pub(crate) fn shop(&self) -> &str {
        &self.shop
    }

    /// The idempotency key of a step. It holds the import's id and not only what is written: a feed that goes back to
    /// what it said last week has to be written again.
    pub(crate) fn key(&self, step: &str) -> String {
        format!("catalog.import/{}/{step}", self.id)
    }

    /// Brings categories to what the feed says; parents come before children. False where they were so already.
    pub(crate) async fn categories(&self, said: Vec<Category>) -> Result<bool, Error> {
        let ids: Vec<String> = said.iter().map(|category| category.id.clone()).collect();
        for attempt in 1..=ATTEMPTS {
            let known: Vec<Category> = self.repo.get_many(&self.call, ids.clone()).await?;
            let known: HashMap<&str, &Category> =
                known.iter().map(|category| (category.id.as_str(), category)).collect();
            let commit =
                said.iter().fold(Commit::new(), |commit, category| match known.get(category.id.as_str()) {
                    None => commit.insert(category),
                    Some(known) if known.name == category.name && known.parent_id == category.parent_id => {
                        commit
                    }
                    Some(_) => commit.update(category, &["name", "parent_id"]),
                });
            if commit.is_empty() {
                return Ok(attempt > 1);
            }
            // A block of categories is named by its first one, which no other block holds.
            let step = format!("categories/{}/{attempt}", ids.first().map_or("", String::as_str));
            match self.commit(commit, &step).await {
                Ok(()) => return Ok(true),
                Err(error) if is_overtaken(&error) => pause(attempt).await,
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }

    /// Brings products to what the feed says of them.
    pub(crate) async fn offers(&self, drafts: &[Draft], number: u32) -> Result<Outcome, Error> {
        if drafts.is_empty() {
            return Ok(Outcome::default());
        }
        let mut deleted = HashSet::new();
        for attempt in 1..=ATTEMPTS {
            let known = self.known(drafts).await?;
            let (commit, outcome) = plan(&self.shop, drafts, &known, &deleted);
            if commit.is_empty() {
                return Ok(outcome);
            }
            match self.commit(commit, &format!("offers/{number}/{attempt}")).await {
                Ok(()) => return Ok(outcome),
                // One of them was taken out of the catalogue by an editor. That is rare, so it is looked up only now.
                Err(error) if error.reason() == "ROW_NOT_FOUND" => deleted = self.deleted(&known).await?,
                Err(error) if is_overtaken(&error) => pause(attempt).await,
                Err(error) => return Err(error),
            }
        }
        Err(busy())
    }

    /// What the feed said of these offers the last time, by their ids.
    async fn known(&self, drafts: &[Draft]) -> Result<HashMap<String, FeedOffer>, Error> {
        let ids = drafts.iter().map(|draft| draft.offer_id.as_str());
        let query =
            Query::new().equal("shop", &self.shop).filter(Filter::one_of("offer_id", ids)).page(PAGE, "");
        let page = self.repo.query::<FeedOffer>(&self.call, query).await?;
        Ok(page.items.into_iter().map(|known| (known.offer_id.clone(), known)).collect())
    }

    /// Those of the products that are not in the catalogue any more.
    async fn deleted(&self, known: &HashMap<String, FeedOffer>) -> Result<HashSet<String>, Error> {
        let mut ids: HashSet<String> = known.values().map(|offer| offer.id.clone()).collect();
        let there: Vec<Product> = self.repo.get_many(&self.call, ids.iter()).await?;
        for product in there {
            ids.remove(product.id());
        }
        Ok(ids)
    }

    async fn commit(&self, commit: Commit, step: &str) -> Result<(), Error> {
        let commit = commit.once(self.key(step), Bytes::new(), Bytes::new());
        self.repo.commit(&self.call, commit).await.map(drop)
    }
}

/// What has to be written, and what that makes of the offers. A product that an editor took out stays out.
fn plan(
    shop: &str,
    drafts: &[Draft],
    known: &HashMap<String, FeedOffer>,
    deleted: &HashSet<String>,
) -> (Commit, Outcome) {
    let (mut commit, mut outcome) = (Commit::new(), Outcome::default());
    for draft in drafts {
        let Some(known) = known.get(&draft.offer_id) else {
            let product = Product { id: new_id(), stock: draft.count, ..draft.product.clone() };
            let offer = FeedOffer {
                id: product.id.clone(),
                shop: shop.to_owned(),
                offer_id: draft.offer_id.clone(),
                digest: draft.digest.clone(),
                count: draft.count,
                ..FeedOffer::default()
            };
            commit = commit.insert(&product).insert(&offer);
            outcome.imported += 1;
            continue;
        };
        let (said, counted) = (known.digest != draft.digest, known.count != draft.count);
        if !(said || counted) || deleted.contains(&known.id) {
            outcome.unchanged += 1;
            continue;
        }
        let product = Product { id: known.id.clone(), stock: draft.count, ..draft.product.clone() };
        let fields: Vec<&str> =
            EDITABLE.into_iter().filter(|field| if *field == STOCK { counted } else { said }).collect();
        let offer = FeedOffer {
            id: known.id.clone(),
            digest: draft.digest.clone(),
            count: draft.count,
            ..FeedOffer::default()
        };
        // The version lets only one of two imports set the stock: a sale after it must not be forgotten by the other.
        commit = commit.update(&product, &fields);
        commit = commit.update(&offer, &["digest", "count"]).expect_version(known.version);
        outcome.updated += 1;
    }
    (commit, outcome)
}

/// True where somebody else wrote the same rows between the look at them and the commit.
fn is_overtaken(error: &Error) -> bool {
    matches!(error.reason(), "UNIQUE_VIOLATION" | "PRECONDITION_FAILED" | "ROW_NOT_FOUND")
}

async fn pause(attempt: u32) {
    tokio::time::sleep(PAUSE * attempt).await;
}

fn busy() -> Error {
    Error::new(
        Code::Aborted,
        "IMPORT_CONTENDED",
        "Others change the same products again and again. Send the feed again when they have finished.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(offer_id: &str, digest: &'static str, count: i32) -> Draft {
        let digest = Bytes::from_static(digest.as_bytes());
        Draft { offer_id: offer_id.into(), product: Product::default(), digest, count }
    }

    fn known(offers: &[(&str, &'static str, i32)]) -> HashMap<String, FeedOffer> {
        let offer = |(offer_id, digest, count): &(&str, &'static str, i32)| FeedOffer {
            id: format!("product of {offer_id}"),
            offer_id: (*offer_id).to_owned(),
            digest: Bytes::from_static(digest.as_bytes()),
            count: *count,
            version: 1,
            ..FeedOffer::default()
        };
        offers.iter().map(|known| (known.0.to_owned(), offer(known))).collect()
    }

    #[test]
    fn new_changed_counted_and_unchanged() {
        let known = known(&[("same", "a", 5), ("said", "a", 5), ("counted", "a", 5), ("out", "a", 5)]);
        let drafts = [
            draft("new", "a", 5),
            draft("same", "a", 5),
            draft("said", "b", 5),
            draft("counted", "a", 6),
            draft("out", "b", 6),
        ];
        let deleted = HashSet::from(["product of out".to_owned()]);
        let (commit, outcome) = plan("shop", &drafts, &known, &deleted);
        assert_eq!(outcome, Outcome { imported: 1, updated: 2, unchanged: 2 });
        assert!(!commit.is_empty());
        let text = format!("{commit:?}");
        assert_eq!(text.matches("\"stock\"").count(), 1, "only a new count sets stock: {text}");
        assert_eq!(text.matches("\"price\"").count(), 1, "only a new text sets fields: {text}");
    }

    #[test]
    fn nothing_to_write() {
        let (commit, outcome) =
            plan("shop", &[draft("same", "a", 5)], &known(&[("same", "a", 5)]), &HashSet::new());
        assert!(commit.is_empty());
        assert_eq!(outcome, Outcome { unchanged: 1, ..Outcome::default() });
    }
}
