//! `artel restaurant`: an operator fills the menu and the kitchen from a file, and asks whether all that must hold holds.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use artel_proto::billing::CheckInvariantsRequest;
use artel_proto::billing::billing_service_client::BillingServiceClient;
use artel_proto::menu::menu_service_client::MenuServiceClient;
use artel_proto::menu::{Allergen, Dish, MenuCategory, Modifier, PutDishRequest, PutMenuCategoryRequest};
use artel_proto::robotics::robotics_service_client::RoboticsServiceClient;
use artel_proto::robotics::{
    Ingredient, ModifierPortion, Portion, PutIngredientRequest, PutRecipeRequest, Recipe, RecipeStep,
};
use artel_proto::types::{LocalizedText, Money};
use serde::Deserialize;

use crate::operator::Operator;
use crate::role::said;

/// What an operator does with a restaurant.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Action {
    /// Put categories, dishes, ingredients and recipes of a file into the running mesh; doing it again changes nothing
    #[command(after_help = "Example: artel restaurant load system/demo/restaurant.json")]
    Load {
        /// The file; system/demo/restaurant.json shows its form
        file: PathBuf,
    },
    /// Count what must be none: money without an order, orders without their receipt; fails where there is any
    #[command(after_help = "Example: artel restaurant check --older-than 30")]
    Check {
        /// Only payments older than this many seconds: what is younger may be under way
        #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(i32).range(0..=86_400))]
        older_than: i32,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Restaurant {
    categories: Vec<CategoryEntry>,
    ingredients: Vec<IngredientEntry>,
    dishes: Vec<DishEntry>,
    recipes: Vec<RecipeEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    ru: String,
    #[serde(default)]
    kk: String,
    #[serde(default)]
    en: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryEntry {
    id: String,
    name: Text,
    position: i32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct IngredientEntry {
    id: String,
    name: String,
    unit: String,
    stock: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DishEntry {
    id: String,
    category_id: String,
    name: Text,
    price: Price,
    allergens: Vec<String>,
    modifiers: Vec<ModifierEntry>,
    position: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Price {
    amount_minor: i64,
    currency: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModifierEntry {
    id: String,
    name: Text,
    price_minor: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecipeEntry {
    id: String,
    ingredients: Vec<PortionEntry>,
    modifiers: Vec<ModifierPortionEntry>,
    steps: Vec<StepEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PortionEntry {
    ingredient_id: String,
    amount: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModifierPortionEntry {
    modifier_id: String,
    ingredient_id: String,
    amount: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepEntry {
    action: String,
    seconds: i32,
}

/// Does what was asked.
///
/// # Errors
/// Where the mesh is not found or refuses, or the file is not of that form.
pub(crate) async fn run(action: Action, endpoints: &Path) -> anyhow::Result<ExitCode> {
    let operator = Operator::connect(endpoints)?;
    match action {
        Action::Load { file } => load(&operator, &file).await.map(|()| ExitCode::SUCCESS),
        Action::Check { older_than } => check(&operator, older_than).await,
    }
}

async fn load(operator: &Operator, file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let restaurant: Restaurant = serde_json::from_str(&text)
        .with_context(|| format!("{} is no restaurant: see system/demo/restaurant.json", file.display()))?;
    let counts = [
        (restaurant.categories.len(), "categories"),
        (restaurant.dishes.len(), "dishes"),
        (restaurant.ingredients.len(), "ingredients"),
        (restaurant.recipes.len(), "recipes"),
    ];

    // What is cooked from comes first: a dish that nobody can cook is shown as run out.
    let mut kitchen = RoboticsServiceClient::new(operator.channels.to("robotics"));
    let call = operator.call_with_role("kitchen_manager");
    for entry in restaurant.ingredients {
        let request = PutIngredientRequest { ingredient: Some(entry.into()) };
        kitchen.put_ingredient(call.request(request)).await.map_err(said)?;
    }
    for entry in restaurant.recipes {
        let request = PutRecipeRequest { recipe: Some(entry.into()) };
        kitchen.put_recipe(call.request(request)).await.map_err(said)?;
    }
    let mut menu = MenuServiceClient::new(operator.channels.to("menu"));
    let call = operator.call_with_role("menu_editor");
    for entry in restaurant.categories {
        let request = PutMenuCategoryRequest { category: Some(entry.into()) };
        menu.put_menu_category(call.request(request)).await.map_err(said)?;
    }
    for entry in restaurant.dishes {
        let request = PutDishRequest { dish: Some(entry.into_dish()?) };
        menu.put_dish(call.request(request)).await.map_err(said)?;
    }
    let said = counts.map(|(count, what)| format!("{count} {what}")).join(", ");
    println!("{said}. The menu is at /api/menu/categories.");
    Ok(())
}

async fn check(operator: &Operator, older_than: i32) -> anyhow::Result<ExitCode> {
    let mut billing = BillingServiceClient::new(operator.channels.to("billing"));
    let request = CheckInvariantsRequest { older_than_seconds: older_than };
    let found = billing.check_invariants(operator.call.request(request)).await.map_err(said)?.into_inner();
    let mut broken = 0;
    for invariant in &found.invariants {
        if invariant.violations == 0 {
            println!("  holds   {}", invariant.name);
        } else {
            broken += 1;
            let examples = invariant.examples.join(", ");
            println!("  BROKEN  {}: {} times, such as {examples}", invariant.name, invariant.violations);
        }
    }
    if broken == 0 {
        println!("Everything holds, over {} payments.", found.payments);
        return Ok(ExitCode::SUCCESS);
    }
    println!("{broken} of {} do not hold, over {} payments.", found.invariants.len(), found.payments);
    Ok(ExitCode::FAILURE)
}

impl From<Text> for LocalizedText {
    fn from(text: Text) -> Self {
        Self { ru: text.ru, kk: text.kk, en: text.en }
    }
}

impl From<CategoryEntry> for MenuCategory {
    fn from(entry: CategoryEntry) -> Self {
        let name = Some(entry.name.into());
        Self { id: entry.id, name, position: entry.position, ..Self::default() }
    }
}

impl From<IngredientEntry> for Ingredient {
    fn from(entry: IngredientEntry) -> Self {
        let IngredientEntry { id, name, unit, stock } = entry;
        Self { id, name, unit, stock, ..Self::default() }
    }
}

impl From<RecipeEntry> for Recipe {
    fn from(entry: RecipeEntry) -> Self {
        let ingredients = entry
            .ingredients
            .into_iter()
            .map(|it| Portion { ingredient_id: it.ingredient_id, amount: it.amount });
        let modifiers = entry.modifiers.into_iter().map(|it| ModifierPortion {
            modifier_id: it.modifier_id,
            ingredient_id: it.ingredient_id,
            amount: it.amount,
        });
        let steps = entry.steps.into_iter().map(|it| RecipeStep { action: it.action, seconds: it.seconds });
        Self {
            id: entry.id,
            ingredients: ingredients.collect(),
            modifiers: modifiers.collect(),
            steps: steps.collect(),
            ..Self::default()
        }
    }
}

impl DishEntry {
    fn into_dish(self) -> anyhow::Result<Dish> {
        let allergens = self.allergens.iter().map(|name| {
            let allergen = Allergen::from_str_name(name);
            allergen.map(i32::from).with_context(|| format!("dish {}: there is no allergen {name}", self.id))
        });
        let modifiers = self.modifiers.into_iter().map(|it| Modifier {
            id: it.id,
            name: Some(it.name.into()),
            price_minor: it.price_minor,
        });
        Ok(Dish {
            allergens: allergens.collect::<anyhow::Result<_>>()?,
            id: self.id,
            category_id: self.category_id,
            name: Some(self.name.into()),
            price: Some(Money { amount_minor: self.price.amount_minor, currency: self.price.currency }),
            modifiers: modifiers.collect(),
            position: self.position,
            ..Dish::default()
        })
    }
}
