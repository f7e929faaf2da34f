use artel_cache::Redis;
use artel_catalog::{DEFAULTS, over};
use artel_client::{Call, CallKey, Channel, Channels, User};
use artel_config::Config;
use artel_handle::{CancellationToken, Host, Live, testing};
use artel_persist::testing::TestDatabase;
use artel_proto::api::HttpBody;
use artel_proto::catalog::catalog_service_client::CatalogServiceClient;
use artel_proto::catalog::{
    CategoryNode, CreateProductRequest, ImportFeedRequest, ImportFeedResponse, ListCategoriesRequest,
    ListProductsRequest, ListProductsResponse, Product,
};
use artel_proto::types::Money;
use artel_repo::Repo;
use artel_util::{Error, new_id};
use bytes::Bytes;

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Refused at once, which the cache bears.
const NO_REDIS: &str = "redis://127.0.0.1:1";

/// The catalogue over persist, and who calls it.
pub struct World {
    pub client: CatalogServiceClient<Channel>,
    pub repo: Repo,
    pub editor: Call,
    pub database: TestDatabase,
}

/// What became of a feed.
pub type Counts = (i32, i32, i32, i32);

impl World {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With these settings of the catalogue.
    pub async fn with(settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let database = TestDatabase::create().await.unwrap();
        let config = format!("[mesh]\nmesh_key = \"{KEY}\"\n[catalog]\n{settings}");
        let config = Config::parse(&config).unwrap();
        let settings = config.section("catalog", DEFAULTS).unwrap();
        let host = Host::new(config, CancellationToken::new()).unwrap();
        let key = CallKey::new(KEY).unwrap();

        let persist = testing::listen(database.persist().await.unwrap(), &host).await.unwrap();
        let repo = Repo::new(Channels::fixed("catalog", key.clone(), [("persist", persist)]).to("persist"));
        let redis = std::env::var("ARTEL_TEST_REDIS").unwrap_or_else(|_| NO_REDIS.to_owned());
        let catalog = over(repo.clone(), Redis::open(&redis).unwrap(), Live::fixed(settings));
        let catalog = testing::listen(catalog, &host).await.unwrap();
        let channel = Channels::fixed("test", key, [("catalog", catalog)]).to("catalog");
        let world = Self {
            client: CatalogServiceClient::new(channel),
            repo,
            editor: Call::by_service("test", ""),
            database,
        };
        let editor = world.person(&new_id());
        Self { editor, ..world }
    }

    /// An editor in a workspace.
    pub fn person(&self, workspace: &str) -> Call {
        let user = User { id: new_id(), roles: vec!["catalog_editor".into()], locale: "ru".into() };
        Call { user: Some(user), ..Call::by_service("test", workspace) }
    }

    pub async fn create(&self, product: Product) -> Result<Product, Error> {
        self.create_once(&self.editor, product, "").await
    }

    pub async fn create_once(&self, call: &Call, product: Product, key: &str) -> Result<Product, Error> {
        let request = CreateProductRequest { product: Some(product), idempotency_key: key.into() };
        let answer = self.client.clone().create_product(call.request(request)).await?;
        Ok(answer.into_inner().product.unwrap())
    }

    pub async fn list(&self, request: ListProductsRequest) -> Result<ListProductsResponse, Error> {
        Ok(self.client.clone().list_products(self.editor.request(request)).await?.into_inner())
    }

    /// The names of all products in an order, a few a page.
    pub async fn names(&self, request: ListProductsRequest) -> Vec<String> {
        let mut request = ListProductsRequest { page_size: 3, ..request };
        let mut names = Vec::new();
        loop {
            let page = self.list(request.clone()).await.unwrap();
            names.extend(page.products.into_iter().map(|product| product.name));
            if page.next_page_token.is_empty() {
                return names;
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The one product that a search finds.
    pub async fn only(&self, search: &str) -> Product {
        let found =
            self.list(ListProductsRequest { search: search.into(), ..Default::default() }).await.unwrap();
        let [product] = found.products.as_slice() else { panic!("{search}: {found:?}") };
        product.clone()
    }

    pub async fn tree(&self) -> Vec<CategoryNode> {
        let request = self.editor.request(ListCategoriesRequest {});
        self.client.clone().list_categories(request).await.unwrap().into_inner().categories
    }

    /// Sends a feed in pieces of 1,000 bytes.
    pub async fn import(&self, feed: &[u8]) -> Result<ImportFeedResponse, Error> {
        let pieces: Vec<_> = feed
            .chunks(1_000)
            .map(|piece| {
                let file = HttpBody { data: Bytes::copy_from_slice(piece), ..HttpBody::default() };
                ImportFeedRequest { file: Some(file) }
            })
            .collect();
        let request = self.editor.request(futures::stream::iter(pieces));
        Ok(self.client.clone().import_feed(request).await?.into_inner())
    }

    /// Imported, updated, unchanged, rejected.
    pub async fn counts(&self, feed: &str) -> Counts {
        let answer = self.import(feed.as_bytes()).await.unwrap();
        (answer.imported, answer.updated, answer.unchanged, answer.rejected_count)
    }
}

pub fn rub(amount_minor: i64) -> Option<Money> {
    Some(Money { amount_minor, currency: "RUB".into() })
}

pub fn product(name: &str, amount_minor: i64, stock: i32) -> Product {
    Product { name: name.into(), price: rub(amount_minor), stock, ..Product::default() }
}

pub fn fields(error: &Error) -> Vec<&str> {
    error.fields().iter().map(|wrong| wrong.field.as_str()).collect()
}
