//! What editors do: categories and dishes put whole, dishes taken out.

use artel_client::Call;
use artel_proto::Entity;
use artel_proto::menu::{Dish, MenuCategory};
use artel_repo::{Commit, Repo};
use artel_util::{Error, is_id, new_id};
use bytes::Bytes;

use crate::error::Refusal;

/// Makes a category or changes it.
pub(crate) async fn put_category(
    repo: &Repo,
    call: &Call,
    mut category: MenuCategory,
) -> Result<MenuCategory, Error> {
    category.id = id("category.id", &category.id)?;
    let there: Option<MenuCategory> = repo.get(call, &category.id).await?;
    let as_it_is = |there: &MenuCategory| MenuCategory {
        version: there.version,
        update_time: there.update_time,
        ..category.clone()
    };
    if let Some(there) = there
        && as_it_is(&there) == there
    {
        return Ok(there);
    }
    put(repo, call, &category).await
}

/// Makes a dish or changes it.
pub(crate) async fn put_dish(repo: &Repo, call: &Call, mut dish: Dish) -> Result<Dish, Error> {
    dish.id = id("dish.id", &dish.id)?;
    dish.category_id.make_ascii_lowercase();
    check(&dish)?;
    let there: Option<Dish> = repo.get(call, &dish.id).await?;
    let as_it_is =
        |there: &Dish| Dish { version: there.version, update_time: there.update_time, ..dish.clone() };
    if let Some(there) = there
        && as_it_is(&there) == there
    {
        return Ok(there);
    }
    put(repo, call, &dish).await.map_err(|error| {
        if error.get("condition") == Some("reference") {
            Refusal::NoSuchCategory { id: dish.category_id.clone() }.into()
        } else {
            error
        }
    })
}

/// Takes a dish out.
pub(crate) async fn delete_dish(repo: &Repo, call: &Call, id: &str) -> Result<(), Error> {
    match repo.commit(call, sent_again(Commit::new().delete::<Dish>(id))).await {
        Ok(_) => Ok(()),
        Err(error) if error.reason() == "ROW_NOT_FOUND" => Ok(()),
        Err(error) => Err(error),
    }
}

async fn put<T: Entity>(repo: &Repo, call: &Call, row: &T) -> Result<T, Error> {
    repo.commit(call, sent_again(Commit::new().upsert(row))).await?;
    repo.get(call, row.id()).await?.ok_or_else(|| Refusal::Busy.into())
}

/// What the rules of single fields do not say.
fn check(dish: &Dish) -> Result<(), Error> {
    if dish.price.as_ref().is_some_and(|price| price.amount_minor < 0) {
        return Err(Error::invalid("dish.price.amountMinor", "must be at least 0"));
    }
    let modifiers: Vec<&str> = dish.modifiers.iter().map(|modifier| modifier.id.as_str()).collect();
    once("dish.modifiers", ".id", &modifiers)?;
    for (list, values) in [("dish.allergens", &dish.allergens), ("dish.dayParts", &dish.day_parts)] {
        if let Some(index) = values.iter().position(|value| *value == 0) {
            return Err(Error::invalid(format!("{list}[{index}]"), "must be named"));
        }
        once(list, "", values)?;
    }
    Ok(())
}

fn once<T: PartialEq>(list: &str, field: &str, values: &[T]) -> Result<(), Error> {
    match (0..values.len()).find(|index| values[..*index].contains(&values[*index])) {
        Some(index) => Err(Error::invalid(format!("{list}[{index}]{field}"), "stands in the list before")),
        None => Ok(()),
    }
}

/// The id of what is put is the editor's choice, and a UUID.
fn id(field: &str, id: &str) -> Result<String, Error> {
    if is_id(id) { Ok(id.to_ascii_lowercase()) } else { Err(Error::invalid(field, "must be a UUID")) }
}

/// With a key of its own, so that it may be sent again if the answer is lost.
fn sent_again(commit: Commit) -> Commit {
    commit.once(format!("menu.edit/{}", new_id()), Bytes::new(), Bytes::new())
}
