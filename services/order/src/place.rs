//! Placing and cancelling: one commit each, in which stock, order and event happen together or not at all.

use artel_client::Call;
use artel_proto::Message as _;
use artel_proto::catalog::Product;
use artel_proto::order::{BoardNumber, CreateOrderRequest, Order, OrderCancelled, OrderPlaced, OrderStatus};
use artel_repo::{Commit, Delta, Repo, digest};
use artel_util::{Error, now};

use crate::dining::{is_dishes, may_cancel};
use crate::domain::{self, Line, draft, out_of_stock};
use crate::error::Refusal;

/// How often it is begun anew when prices or the order change in between.
pub(crate) const ATTEMPTS: usize = 5;

/// Places an order. With a key, the same request gives the same order however often it comes.
pub(crate) async fn place(repo: &Repo, call: &Call, request: &CreateOrderRequest) -> Result<Order, Error> {
    let user_id = call.user_id()?;
    let lines = domain::together(&request.items)?;
    let key = (!request.idempotency_key.is_empty())
        .then(|| format!("order.create/{user_id}/{}", request.idempotency_key));
    let placed = place_now(repo, call, user_id, &lines, key.as_deref(), request).await;
    // Whatever stands in the way now, a request that was granted before gets its answer again.
    if let (Err(refused), Some(key)) = (&placed, &key)
        && !refused.is_transient()
        && let Some(answer) = repo.recall(call, key, digest(request)).await?
    {
        return Order::decode(answer).map_err(Error::internal);
    }
    placed
}

async fn place_now(
    repo: &Repo,
    call: &Call,
    user_id: &str,
    lines: &[Line],
    key: Option<&str>,
    request: &CreateOrderRequest,
) -> Result<Order, Error> {
    let ids = lines.iter().map(|line| line.product_id.clone()).collect::<Vec<_>>();
    for _ in 0..ATTEMPTS {
        let products: Vec<Product> = repo.get_many(call, ids.clone()).await?;
        let mut order = draft(user_id, lines, &products)?;
        let moment = now();
        (order.version, order.create_time, order.update_time) = (1, Some(moment), Some(moment));

        let mut commit = Commit::new();
        for item in &order.items {
            let price = item.price.clone().unwrap_or_default();
            commit = commit
                .adjust::<Product>(&item.product_id, [Delta::add("stock", -item.quantity).floor(0)])
                .expect("price.amount_minor", price.amount_minor)
                .expect("price.currency", price.currency);
        }
        let event = OrderPlaced {
            order_id: order.id.clone(),
            user_id: order.user_id.clone(),
            order: Some(order.clone()),
        };
        commit = commit.insert(&order).publish(&event);
        if let Some(key) = key {
            commit = commit.once(key, digest(request), order.encode_to_vec());
        }
        match repo.commit(call, commit).await {
            Ok(committed) if committed.replayed => {
                return Order::decode(committed.answer).map_err(Error::internal);
            }
            Ok(_) => return Ok(order),
            Err(error) => match refusal(&error, lines, &products) {
                Some(Refusal::Busy) => {}
                Some(refusal) => return Err(refusal.into()),
                None => return Err(error),
            },
        }
    }
    Err(Refusal::Busy.into())
}

/// What a failed commit means to whoever ordered; `Busy` where it is worth another attempt.
fn refusal(error: &Error, lines: &[Line], products: &[Product]) -> Option<Refusal> {
    match error.reason() {
        "PRECONDITION_FAILED" if error.get("condition") == Some("floor") => {
            let line = lines.iter().find(|line| Some(line.product_id.as_str()) == error.get("id"))?;
            let name = products
                .iter()
                .find(|product| product.id == line.product_id)
                .map_or("", |product| &product.name);
            let left = error.get("actual").and_then(|left| left.parse().ok()).unwrap_or_default();
            Some(out_of_stock(line, name, left))
        }
        // A price changed, a product was taken out, or the order's number is taken: look again.
        "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "UNIQUE_VIOLATION" => Some(Refusal::Busy),
        _ => None,
    }
}

/// Cancels an order of the caller and gives its stock, or its number on the board, back, once.
pub(crate) async fn cancel(repo: &Repo, call: &Call, id: &str) -> Result<Order, Error> {
    for _ in 0..ATTEMPTS {
        let order = own(repo, call, id).await?;
        if !may_cancel(&order)? {
            return Ok(order);
        }
        if let Some(cancelled) = cancel_now(repo, call, order).await? {
            return Ok(cancelled);
        }
    }
    Err(Refusal::Busy.into())
}

/// Cancels an order as it was read; `None` where it has changed since.
pub(crate) async fn cancel_now(repo: &Repo, call: &Call, mut order: Order) -> Result<Option<Order>, Error> {
    let version = order.version;
    order.set_status(OrderStatus::Cancelled);
    order.cancel_time = Some(now());
    order.update_time = order.cancel_time;
    order.expire_time = None;

    let mut commit = Commit::new()
        .update(&order, &["status", "cancel_time", "update_time", "expire_time"])
        .expect_version(version);
    if is_dishes(&order) {
        commit = commit.delete::<BoardNumber>(&order.id);
    } else {
        let stocked: Vec<Product> = repo
            .get_many(call, order.items.iter().map(|item| item.product_id.clone()).collect::<Vec<_>>())
            .await?;
        // What was taken out of the catalogue meanwhile has no stock to give back to.
        for item in
            order.items.iter().filter(|item| stocked.iter().any(|product| product.id == item.product_id))
        {
            commit = commit.adjust::<Product>(&item.product_id, [Delta::add("stock", item.quantity)]);
        }
    }
    order.version += 1;
    let event = OrderCancelled {
        order_id: order.id.clone(),
        user_id: order.user_id.clone(),
        order: Some(order.clone()),
    };
    match repo.commit(call, commit.publish(&event)).await {
        Ok(_) => Ok(Some(order)),
        Err(error) if is_overtaken(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// True where somebody else changed the rows since they were read: looking again helps.
pub(crate) fn is_overtaken(error: &Error) -> bool {
    matches!(error.reason(), "PRECONDITION_FAILED" | "ROW_NOT_FOUND" | "UNIQUE_VIOLATION")
}

/// The order, where it is the caller's.
pub(crate) async fn own(repo: &Repo, call: &Call, id: &str) -> Result<Order, Error> {
    let user_id = call.user_id()?;
    let order: Option<Order> = repo.get(call, id).await?;
    Ok(order.filter(|order| order.user_id == user_id).ok_or(Refusal::NoSuchOrder)?)
}
