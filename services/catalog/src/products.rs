//! One product: got, made, changed, taken out.

use artel_client::Call;
use artel_proto::catalog::{
    Category, CreateProductRequest, CreateProductResponse, DeleteProductRequest, Product, ProductChanged,
    UpdateProductRequest,
};
use artel_proto::{Entity as _, Message as _};
use artel_repo::{Commit, Repo, digest};
use artel_util::{Error, new_id, now};
use bytes::Bytes;

use crate::domain::product::{check, to_change};
use crate::refusal::Refusal;

/// The largest answer that storage keeps beside a key, in bytes.
const LARGEST_ANSWER: usize = 65_536;

/// The product.
pub(crate) async fn get(repo: &Repo, call: &Call, id: &str) -> Result<Product, Error> {
    let product: Option<Product> = repo.get(call, id).await?;
    Ok(product.ok_or_else(|| Refusal::NoSuchProduct { id: id.to_owned() })?)
}

/// Makes a product. With a key, the same request gives the same answer however often it comes.
pub(crate) async fn create(
    repo: &Repo,
    call: &Call,
    request: &CreateProductRequest,
) -> Result<CreateProductResponse, Error> {
    let user_id = call.user_id()?;
    // Without a key of the caller's, one of our own still makes our own retries safe.
    let own_key = if request.idempotency_key.is_empty() { new_id() } else { request.idempotency_key.clone() };
    let key = format!("catalog.create/{user_id}/{own_key}");
    let made = match create_now(repo, call, &key, request).await {
        // Whatever stands in the way now, a request that was granted before gets its answer again.
        Err(refused) if !request.idempotency_key.is_empty() && !refused.is_transient() => {
            repo.recall(call, &key, digest(request)).await?.ok_or(refused)?
        }
        made => made?,
    };
    let mut product = Product::decode(made).map_err(Error::internal)?;
    let stored: Option<Product> = repo.get(call, &product.id).await?;
    if product.name.is_empty() {
        // It was too large to be kept beside its key: it comes as it is now.
        product = stored.ok_or(Refusal::NoSuchProduct { id: product.id })?;
    } else if let Some(stored) = stored {
        // The moment that storage noted, so that the answer is what a Get gives, the first time and each time after.
        product.create_time = stored.create_time;
        product.update_time = stored.create_time;
    }
    Ok(CreateProductResponse { product: Some(product) })
}

/// The product as it was made, encoded; its id alone where it is too large to be kept as an answer.
async fn create_now(
    repo: &Repo,
    call: &Call,
    key: &str,
    request: &CreateProductRequest,
) -> Result<Bytes, Error> {
    let mut product = request.product.clone().unwrap_or_default();
    product.category_id.make_ascii_lowercase();
    check(&product)?;
    check_category(repo, call, &product.category_id).await?;
    let moment = now();
    product.id = new_id();
    product.version = 1;
    (product.create_time, product.update_time) = (Some(moment), Some(moment));
    product.delete_time = None;

    let event = ProductChanged { product_id: product.id.clone(), deleted: false };
    let commit = Commit::new().insert(&product).publish(&event);
    let kept = if product.encoded_len() <= LARGEST_ANSWER {
        product.encode_to_vec()
    } else {
        Product { id: product.id.clone(), ..Product::default() }.encode_to_vec()
    };
    let answer = Bytes::from(kept);
    let commit = commit.once(key, digest(request), answer.clone());
    let committed =
        repo.commit(call, commit).await.map_err(|error| explain(error, &product, product.version))?;
    Ok(if committed.replayed { committed.answer } else { answer })
}

/// Changes fields of a product.
pub(crate) async fn update(
    repo: &Repo,
    call: &Call,
    request: &UpdateProductRequest,
) -> Result<Product, Error> {
    let change = request.product.clone().unwrap_or_default();
    if change.id.is_empty() {
        return Err(Refusal::field("product.id", "is required: which product changes").into());
    }
    let fields = to_change(&change, request.update_mask.as_ref())?;
    let mut product = get(repo, call, &change.id).await?;
    for field in &fields {
        product.take(&change, field);
    }
    check(&product)?;
    if fields.contains(&"category_id") {
        check_category(repo, call, &product.category_id).await?;
    }
    let event = ProductChanged { product_id: product.id.clone(), deleted: false };
    // A version of 0 is none: the change is made on whatever the product is by now.
    let commit = Commit::new().update(&product, &fields).expect_version(change.version).publish(&event);
    repo.commit(call, commit).await.map_err(|error| explain(error, &product, change.version))?;
    get(repo, call, &change.id).await
}

/// Takes a product out of the catalogue. Again is fine, for as long as storage remembers the first time (a week).
pub(crate) async fn delete(repo: &Repo, call: &Call, request: &DeleteProductRequest) -> Result<(), Error> {
    let id = request.id.to_ascii_lowercase();
    let event = ProductChanged { product_id: id.clone(), deleted: true };
    let commit = Commit::new().delete::<Product>(&id).publish(&event).once(
        format!("catalog.delete/{id}"),
        digest(&event),
        Bytes::new(),
    );
    let product = Product { id, ..Product::default() };
    repo.commit(call, commit).await.map_err(|error| explain(error, &product, 0))?;
    Ok(())
}

async fn check_category(repo: &Repo, call: &Call, id: &str) -> Result<(), Error> {
    if id.is_empty() || repo.get::<Category>(call, id).await?.is_some() {
        return Ok(());
    }
    Err(no_such_category(id).into())
}

fn no_such_category(id: &str) -> Refusal {
    Refusal::field("product.categoryId", format!("there is no category {id}; look at the tree of categories"))
}

/// What a failed commit means to whoever changes a product.
fn explain(error: Error, product: &Product, expected: i64) -> Error {
    match (error.reason(), error.get("condition")) {
        ("ROW_NOT_FOUND", _) => Refusal::NoSuchProduct { id: product.id.clone() }.into(),
        ("PRECONDITION_FAILED", Some("version")) => {
            let actual = error.get("actual").unwrap_or("another").to_owned();
            Refusal::Changed { id: product.id.clone(), expected, actual }.into()
        }
        // The category went between the look at it and the commit.
        ("PRECONDITION_FAILED", Some("reference")) => no_such_category(&product.category_id).into(),
        _ => error,
    }
}
