//! The menu as guests see it, made once for all who look at it within a moment.
//!
//! What is kept is good for `menu.kept_ms`, however it came to be wrong: an editor's change makes Redis forget it at once,
//! but the editor's process may die before that; and what the kitchen runs out of, nobody tells.

use std::sync::Arc;
use std::time::Duration;

use artel_cache::{Cache, Redis};
use artel_client::Call;
use artel_handle::Live;
use artel_proto::menu::{Dish, ListMenuCategoriesResponse, MenuCategory};
use artel_proto::robotics::CookingOrder;
use artel_proto::{Entity, Message as _};
use artel_repo::{Direction, Query, Repo};
use artel_util::Error;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt as _;
use moka::sync::Cache as Known;
use tonic::Status;

use crate::domain::{Portions, shown};
use crate::kitchen::Kitchen;
use crate::settings::Settings;

/// Rows asked for at once.
const PAGE: i32 = 1_000;
/// How long the kitchen is waited for: with what a menu is kept, less than a second.
const KITCHEN_WITHIN: Duration = Duration::from_millis(500);
/// And where there is nothing else to go by: a menu that comes late says more than one on which everything has run out.
const FIRST_WITHIN: Duration = Duration::from_secs(5);
/// Workspaces whose stock is remembered.
const MOST_KNOWN: u64 = 10_000;
const LOCALES: [&str; 3] = ["ru", "kk", "en"];

pub(crate) type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// The menus of all workspaces. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Shown {
    repo: Repo,
    kitchen: Arc<dyn Kitchen>,
    kept: Cache,
    /// What the kitchen said last.
    known: Known<String, Arc<Portions>>,
    settings: Live<Settings>,
    clock: Clock,
}

impl Shown {
    pub(crate) fn new(
        repo: Repo,
        kitchen: Arc<dyn Kitchen>,
        redis: Redis,
        settings: Live<Settings>,
        clock: Clock,
    ) -> Self {
        let kept = Cache::new(redis, "menu.shown");
        let known =
            Known::builder().max_capacity(MOST_KNOWN).time_to_live(settings.get().stock_known()).build();
        Self { repo, kitchen, kept, known, settings, clock }
    }

    /// The menu in a language.
    pub(crate) async fn menu(&self, call: &Call, locale: &str) -> Result<ListMenuCategoriesResponse, Error> {
        let locale = LOCALES.into_iter().find(|known| *known == locale).unwrap_or(LOCALES[0]);
        // Boxed, for the compiler does not follow futures as deep as these are nested.
        let load = || async { self.made(call, locale).boxed().await.map_err(Status::from) };
        let (key, kept) = (key(call, locale), self.settings.get().kept());
        let bytes = self.kept.get_or_load_bytes(&key, kept, load).await?;
        ListMenuCategoriesResponse::decode(bytes).map_err(Error::internal)
    }

    /// Says that an editor changed something. Call it after the commit.
    pub(crate) async fn forget(&self, call: &Call) {
        for locale in LOCALES {
            self.kept.invalidate(&key(call, locale)).await;
        }
    }

    async fn made(&self, call: &Call, locale: &str) -> Result<Bytes, Error> {
        let (categories, dishes) = tokio::try_join!(self.all::<MenuCategory>(call), self.all::<Dish>(call))?;
        let portions = self.portions(call, &dishes).await;
        let day = self.settings.get().day().map_err(Error::internal)?;
        let menu = shown(&categories, &dishes, &portions, &day, locale, (self.clock)());
        Ok(menu.encode_to_vec().into())
    }

    /// What the kitchen says, or what it said last.
    async fn portions(&self, call: &Call, dishes: &[Dish]) -> Arc<Portions> {
        let one =
            |dish: &Dish| CookingOrder { dish_id: dish.id.clone(), quantity: 1, ..CookingOrder::default() };
        let asked: Vec<CookingOrder> = dishes.iter().filter(|dish| !dish.hidden).map(one).collect();
        if asked.is_empty() {
            return Arc::default();
        }
        let known = self.known.get(&call.workspace);
        let within = if known.is_some() { KITCHEN_WITHIN } else { FIRST_WITHIN };
        let answer = tokio::time::timeout(within, self.kitchen.portions(call, asked)).await;
        let why = match answer {
            Ok(Ok(dishes)) => {
                let portions = dishes.into_iter().map(|dish| (dish.dish_id, dish.portions));
                let portions = Arc::new(portions.collect::<Portions>());
                self.known.insert(call.workspace.clone(), Arc::clone(&portions));
                return portions;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {within:?}"),
        };
        tracing::warn!(is_known = known.is_some(), why, "the kitchen does not say what there is");
        metrics::counter!("artel_menu_kitchen_away_total").increment(1);
        known.unwrap_or_default()
    }

    async fn all<T: Entity>(&self, call: &Call) -> Result<Vec<T>, Error> {
        let (mut found, mut token) = (Vec::new(), String::new());
        loop {
            let query = Query::new().order("id", Direction::Ascending).page(PAGE, token);
            let page = self.repo.query::<T>(call, query).await?;
            found.extend(page.items);
            token = page.next_page_token;
            if token.is_empty() {
                return Ok(found);
            }
        }
    }
}

fn key(call: &Call, locale: &str) -> String {
    format!("{}/{locale}", call.workspace)
}
