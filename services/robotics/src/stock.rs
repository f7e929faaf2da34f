//! What there is to cook from, and how it is cooked: asked for by the menu, kept by managers.

use std::collections::HashMap;

use artel_client::Call;
use artel_proto::robotics::{
    CookingOrder, DishPortions, GetPortionsRequest, Ingredient, PutIngredientRequest, PutRecipeRequest,
    Recipe, RestockIngredientRequest,
};
use artel_repo::{Commit, Delta, Query, Repo, digest};
use artel_util::{Error, is_id, new_id};
use bytes::Bytes;

use crate::domain::{Amounts, portion, portions, stock, take, times};
use crate::error::Refusal;
use crate::reserve::{ids, is_overtaken, lower};

/// More of an ingredient than any kitchen has, in its units.
const MOST_STOCK: i64 = 1_000_000_000_000;
/// How often it is begun anew when somebody was faster.
const ATTEMPTS: usize = 5;
/// Rows that one question asks for.
const AT_ONCE: usize = 1_000;

/// How many portions of each dish there can be.
pub(crate) async fn get_portions(
    repo: &Repo,
    call: &Call,
    asked: &GetPortionsRequest,
) -> Result<Vec<DishPortions>, Error> {
    let mut dishes = lower(&asked.dishes);
    let recipes: Vec<Recipe> =
        if dishes.is_empty() { all(repo, call).await? } else { repo.get_many(call, ids(&dishes)).await? };
    if dishes.is_empty() {
        let one = |recipe: &Recipe| CookingOrder { dish_id: recipe.id.clone(), ..CookingOrder::default() };
        dishes = recipes.iter().map(one).collect();
    }
    let by_dish: HashMap<&str, &Recipe> = recipes.iter().map(|recipe| (recipe.id.as_str(), recipe)).collect();
    let of = |dish: &CookingOrder| {
        by_dish.get(dish.dish_id.as_str()).map(|recipe| portion(recipe, &dish.modifier_ids))
    };
    let needed: Vec<Option<Amounts>> = dishes.iter().map(of).collect();
    let stock = stock(&ingredients(repo, call, needed.iter().flatten().flat_map(Amounts::keys)).await?);
    let mut left = stock.clone();
    let answer = dishes.into_iter().zip(needed).map(|(dish, portion)| DishPortions {
        portions: portion.as_ref().map_or(0, |portion| portions(portion, &stock)),
        enough: portion.is_some_and(|portion| take(&mut left, &times(portion, dish.quantity))),
        dish_id: dish.dish_id,
    });
    Ok(answer.collect())
}

async fn all(repo: &Repo, call: &Call) -> Result<Vec<Recipe>, Error> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = repo.query::<Recipe>(call, Query::new().page(AT_ONCE as i32, token)).await?;
        found.extend(page.items);
        token = page.next_page_token;
        if token.is_empty() {
            return Ok(found);
        }
    }
}

async fn ingredients<'a>(
    repo: &Repo,
    call: &Call,
    ids: impl Iterator<Item = &'a String>,
) -> Result<Vec<Ingredient>, Error> {
    let mut ids: Vec<&String> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let mut found = Vec::with_capacity(ids.len());
    for ids in ids.chunks(AT_ONCE) {
        found.extend(repo.get_many::<Ingredient>(call, ids.iter().copied()).await?);
    }
    Ok(found)
}

/// Makes an ingredient or renames it.
pub(crate) async fn put_ingredient(
    repo: &Repo,
    call: &Call,
    asked: &PutIngredientRequest,
) -> Result<Ingredient, Error> {
    let mut wanted = asked.ingredient.clone().unwrap_or_default();
    wanted.id = id("ingredient.id", &wanted.id)?;
    if wanted.stock > MOST_STOCK {
        return Err(Error::invalid("ingredient.stock", format!("must be at most {MOST_STOCK}")));
    }
    for _ in 0..ATTEMPTS {
        let commit = match repo.get::<Ingredient>(call, &wanted.id).await? {
            Some(there) if there.name == wanted.name && there.unit == wanted.unit => return Ok(there),
            Some(_) => Commit::new().update(&wanted, &["name", "unit"]),
            None => Commit::new().insert(&wanted),
        };
        match repo.commit(call, sent_again(commit)).await {
            // What was committed is read, with its version.
            Ok(_) => {}
            Err(error) if is_overtaken(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Refusal::Busy.into())
}

/// Adds to an ingredient, once for a key.
pub(crate) async fn restock(
    repo: &Repo,
    call: &Call,
    asked: &RestockIngredientRequest,
) -> Result<Ingredient, Error> {
    let more = Delta::add("stock", asked.amount).floor(0).ceiling(MOST_STOCK);
    let commit = Commit::new().adjust::<Ingredient>(&asked.id, [more]).once(
        format!("robotics.restock/{}", asked.idempotency_key),
        digest(asked),
        Bytes::new(),
    );
    let no_such = || Error::from(Refusal::NoSuchIngredient { field: "id".to_owned(), id: asked.id.clone() });
    match repo.commit(call, commit).await {
        Ok(_) => repo.get(call, &asked.id).await?.ok_or_else(no_such),
        Err(error) if error.reason() == "ROW_NOT_FOUND" => Err(no_such()),
        Err(error) if error.get("condition") == Some("floor") => {
            let left = error.get("actual").and_then(|left| left.parse().ok()).unwrap_or_default();
            Err(Refusal::TooFew { taken: -asked.amount, left }.into())
        }
        Err(error) if error.get("condition") == Some("ceiling") => {
            Err(Error::invalid("amount", format!("the stock would be more than {MOST_STOCK}")))
        }
        Err(error) => Err(error),
    }
}

/// Makes a recipe or changes it, whole.
pub(crate) async fn put_recipe(repo: &Repo, call: &Call, asked: &PutRecipeRequest) -> Result<Recipe, Error> {
    let mut recipe = asked.recipe.clone().unwrap_or_default();
    recipe.id = id("recipe.id", &recipe.id)?;
    let named = recipe.ingredients.iter_mut().map(|portion| &mut portion.ingredient_id);
    let changed = recipe.modifiers.iter_mut().map(|portion| &mut portion.ingredient_id);
    named.chain(changed).for_each(|id| id.make_ascii_lowercase());
    let names = || recipe.ingredients.iter().map(|portion| &portion.ingredient_id);
    for (index, one) in names().enumerate() {
        if names().take(index).any(|before| before == one) {
            let field = format!("recipe.ingredients[{index}].ingredientId");
            return Err(Error::invalid(field, "stands in the recipe before; add the amounts up"));
        }
    }
    let changes = || recipe.modifiers.iter().map(|portion| &portion.ingredient_id);
    let there = stock(&ingredients(repo, call, names().chain(changes())).await?);
    let of = |list: &'static str, (index, id): (usize, &String)| {
        let field = format!("recipe.{list}[{index}].ingredientId");
        (!there.contains_key(id)).then(|| Refusal::NoSuchIngredient { field, id: id.clone() })
    };
    let missing = names().enumerate().find_map(|named| of("ingredients", named));
    let missing = missing.or_else(|| changes().enumerate().find_map(|named| of("modifiers", named)));
    if let Some(refusal) = missing {
        return Err(refusal.into());
    }
    if let Some(there) = repo.get::<Recipe>(call, &recipe.id).await? {
        let as_it_is = Recipe { version: there.version, update_time: there.update_time, ..recipe.clone() };
        if as_it_is == there {
            return Ok(there);
        }
    }
    repo.commit(call, sent_again(Commit::new().upsert(&recipe))).await?;
    repo.get(call, &recipe.id).await?.ok_or_else(|| Refusal::Busy.into())
}

/// The id of what is put is the manager's choice, and a UUID.
fn id(field: &str, id: &str) -> Result<String, Error> {
    if is_id(id) { Ok(id.to_ascii_lowercase()) } else { Err(Error::invalid(field, "must be a UUID")) }
}

/// With a key of its own, so that it may be sent again if the answer is lost.
fn sent_again(commit: Commit) -> Commit {
    commit.once(format!("robotics.put/{}", new_id()), Bytes::new(), Bytes::new())
}
