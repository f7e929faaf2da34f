//! The rules of what dishes take, pure.

use std::collections::BTreeMap;

use artel_proto::robotics::{CookingOrder, Ingredient, Portion, Recipe};

/// More portions than anybody asks for.
const MOST_PORTIONS: i64 = 1_000_000;

/// So much of each ingredient, by id: in the order in which every commit takes them.
pub(crate) type Amounts = BTreeMap<String, i64>;

/// What cannot be cooked, and how much there is of what it lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shortage {
    /// The place of the dish in the request.
    pub(crate) index: usize,
    pub(crate) dish_id: String,
    /// The ingredient; `None` where nobody has said how the dish is cooked.
    pub(crate) ingredient_id: Option<String>,
    pub(crate) left: i64,
}

/// What a portion takes with these modifiers. One that is named twice counts twice; none brings an amount below zero.
pub(crate) fn portion(recipe: &Recipe, modifier_ids: &[String]) -> Amounts {
    let mut amounts = Amounts::new();
    for Portion { ingredient_id, amount } in &recipe.ingredients {
        *amounts.entry(ingredient_id.clone()).or_default() += amount;
    }
    for id in modifier_ids {
        for change in recipe.modifiers.iter().filter(|change| change.modifier_id == *id) {
            *amounts.entry(change.ingredient_id.clone()).or_default() += change.amount;
        }
    }
    amounts.retain(|_, amount| *amount > 0);
    amounts
}

/// How many portions there can be.
pub(crate) fn portions(portion: &Amounts, stock: &Amounts) -> i32 {
    let of = |(id, amount): (&String, &i64)| stock.get(id).copied().unwrap_or_default().max(0) / amount;
    let most = portion.iter().map(of).min().unwrap_or(MOST_PORTIONS).min(MOST_PORTIONS);
    i32::try_from(most).unwrap_or_default()
}

/// What each of these dishes takes in the quantity asked for.
pub(crate) fn needs(dishes: &[CookingOrder], recipes: &[Recipe]) -> Result<Vec<Amounts>, Shortage> {
    let need = |(index, dish): (usize, &CookingOrder)| {
        let recipe = recipe_of(&dish.dish_id, recipes).ok_or_else(|| Shortage {
            index,
            dish_id: dish.dish_id.clone(),
            ingredient_id: None,
            left: 0,
        })?;
        Ok(times(portion(recipe, &dish.modifier_ids), dish.quantity))
    };
    dishes.iter().enumerate().map(need).collect()
}

pub(crate) fn times(mut portion: Amounts, quantity: i32) -> Amounts {
    portion.values_mut().for_each(|amount| *amount = amount.saturating_mul(quantity.into()));
    portion
}

fn recipe_of<'a>(dish_id: &str, recipes: &'a [Recipe]) -> Option<&'a Recipe> {
    recipes.iter().find(|recipe| recipe.id == dish_id)
}

/// All of it together.
pub(crate) fn sum<'a>(needs: impl IntoIterator<Item = &'a Amounts>) -> Amounts {
    let mut all = Amounts::new();
    for (id, amount) in needs.into_iter().flatten() {
        let sum = all.entry(id.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
    all
}

/// The first dish that takes more of an ingredient than is left after those before it.
pub(crate) fn shortage(
    dishes: &[CookingOrder],
    needs: &[Amounts],
    ingredient_id: &str,
    left: i64,
) -> Option<Shortage> {
    let mut taken = 0_i64;
    needs.iter().enumerate().find_map(|(index, need)| {
        taken = taken.saturating_add(need.get(ingredient_id).copied().unwrap_or_default());
        (taken > left).then(|| Shortage {
            index,
            dish_id: dishes.get(index).map(|dish| dish.dish_id.clone()).unwrap_or_default(),
            ingredient_id: Some(ingredient_id.to_owned()),
            left,
        })
    })
}

/// Whether there is enough for a dish after all that was taken before it; takes it where there is.
pub(crate) fn take(stock: &mut Amounts, need: &Amounts) -> bool {
    let enough = need.iter().all(|(id, amount)| stock.get(id).copied().unwrap_or_default() >= *amount);
    if enough {
        for (id, amount) in need {
            stock.entry(id.clone()).and_modify(|left| *left -= amount);
        }
    }
    enough
}

/// What there is of each.
pub(crate) fn stock(ingredients: &[Ingredient]) -> Amounts {
    ingredients.iter().map(|ingredient| (ingredient.id.clone(), ingredient.stock)).collect()
}

/// As a reservation keeps it.
pub(crate) fn kept(amounts: &Amounts) -> Vec<Portion> {
    amounts
        .iter()
        .map(|(ingredient_id, amount)| Portion { ingredient_id: ingredient_id.clone(), amount: *amount })
        .collect()
}

#[cfg(test)]
mod tests {
    use artel_proto::robotics::ModifierPortion;
    use proptest::prelude::*;

    use super::*;

    fn amounts(of: &[(&str, i64)]) -> Amounts {
        of.iter().map(|(id, amount)| ((*id).to_owned(), *amount)).collect()
    }

    fn burger() -> Recipe {
        let portion = |id: &str, amount| Portion { ingredient_id: id.into(), amount };
        let modifier = |id: &str, ingredient: &str, amount| ModifierPortion {
            modifier_id: id.into(),
            ingredient_id: ingredient.into(),
            amount,
        };
        Recipe {
            id: "burger".into(),
            ingredients: vec![portion("beef", 150), portion("cheese", 20)],
            modifiers: vec![
                modifier("extra_cheese", "cheese", 20),
                modifier("no_cheese", "cheese", -50),
                modifier("bacon", "bacon", 30),
            ],
            ..Recipe::default()
        }
    }

    fn dish(quantity: i32, modifiers: &[&str]) -> CookingOrder {
        let modifier_ids = modifiers.iter().map(|id| (*id).to_owned()).collect();
        CookingOrder { dish_id: "burger".into(), quantity, modifier_ids }
    }

    #[test]
    fn modifiers_change_what_a_portion_takes_and_bring_nothing_below_zero() {
        let of = |modifiers: &[&str]| portion(&burger(), &dish(1, modifiers).modifier_ids);
        assert_eq!(of(&[]), amounts(&[("beef", 150), ("cheese", 20)]));
        assert_eq!(of(&["extra_cheese", "extra_cheese"]), amounts(&[("beef", 150), ("cheese", 60)]));
        assert_eq!(of(&["no_cheese"]), amounts(&[("beef", 150)]));
        assert_eq!(of(&["bacon", "mustard"]), amounts(&[("bacon", 30), ("beef", 150), ("cheese", 20)]));
    }

    #[test]
    fn there_are_as_many_portions_as_the_scarcest_ingredient_allows() {
        let stock = amounts(&[("beef", 449), ("cheese", 1_000)]);
        assert_eq!(portions(&portion(&burger(), &[]), &stock), 2);
        assert_eq!(portions(&amounts(&[("bacon", 1)]), &stock), 0);
        assert_eq!(portions(&Amounts::new(), &stock), 1_000_000);
    }

    #[test]
    fn the_dish_that_is_short_is_the_first_that_finds_too_little() {
        let dishes = [dish(2, &[]), dish(1, &["extra_cheese"])];
        let needs = needs(&dishes, &[burger()]).unwrap();
        assert_eq!(sum(&needs), amounts(&[("beef", 450), ("cheese", 80)]));
        let found = |left| shortage(&dishes, &needs, "cheese", left).map(|shortage| shortage.index);
        assert_eq!([found(39), found(40), found(79), found(80)], [Some(0), Some(1), Some(1), None]);
        let mut stock = amounts(&[("beef", 1_000), ("cheese", 79)]);
        assert_eq!([take(&mut stock, &needs[0]), take(&mut stock, &needs[1])], [true, false]);
        assert_eq!(stock, amounts(&[("beef", 700), ("cheese", 39)]), "what is not enough is not taken");
    }

    #[test]
    fn what_has_no_recipe_cannot_be_cooked() {
        let unknown = CookingOrder { dish_id: "soup".into(), quantity: 1, modifier_ids: Vec::new() };
        let short = needs(&[dish(1, &[]), unknown], &[burger()]).unwrap_err();
        assert_eq!((short.index, short.dish_id.as_str(), short.ingredient_id), (1, "soup", None));
    }

    proptest! {
        #[test]
        fn what_is_taken_one_by_one_is_what_is_taken_together(quantities in prop::collection::vec(1_i32..=100, 1..20), have in 0_i64..500_000) {
            let dishes: Vec<_> = quantities.iter().map(|quantity| dish(*quantity, &["bacon"])).collect();
            let needs = needs(&dishes, &[burger()]).unwrap();
            let all = sum(&needs);
            let full = amounts(&[("beef", have), ("cheese", have), ("bacon", have)]);
            let mut stock = full.clone();
            let enough = needs.iter().all(|need| take(&mut stock, need));
            let is_short = all.iter().any(|(id, amount)| *amount > full[id]);
            prop_assert_eq!(enough, !is_short);
            let names = all.keys().any(|id| shortage(&dishes, &needs, id, have).is_some());
            prop_assert_eq!(names, is_short);
            prop_assert!(stock.values().all(|left| *left >= 0));
        }
    }
}
