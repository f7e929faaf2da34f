//! The rules of the menu, pure: what guests see of it, and what a line of an order comes to.

use std::collections::HashMap;

use artel_proto::menu::{
    Dish, DishLine, DishOffer, ListMenuCategoriesResponse, MenuCategory, MenuItem, MenuModifier, MenuSection,
    Modifier, Unavailable,
};
use artel_proto::robotics::{CookingOrder, DishPortions};
use artel_proto::types::{LocalizedText, Money};
use artel_util::money;
use chrono::{DateTime, Utc};

use crate::day::Day;

/// How many portions there are of each dish, as far as it is known.
pub(crate) type Portions = HashMap<String, i32>;

/// A text in the language asked for, or in Russian where it was not translated.
pub(crate) fn text<'a>(text: Option<&'a LocalizedText>, locale: &str) -> &'a str {
    let Some(text) = text else { return "" };
    let asked = match locale {
        "kk" => &text.kk,
        "en" => &text.en,
        _ => &text.ru,
    };
    if asked.is_empty() { &text.ru } else { asked }
}

/// The menu as guests see it. What is taken off is not shown; what cannot be ordered now is, with the reason.
pub(crate) fn shown(
    categories: &[MenuCategory],
    dishes: &[Dish],
    portions: &Portions,
    day: &Day,
    locale: &str,
    now: DateTime<Utc>,
) -> ListMenuCategoriesResponse {
    let mut categories: Vec<&MenuCategory> = categories.iter().collect();
    categories.sort_by_key(|category| (category.position, &category.id));
    let mut dishes: Vec<&Dish> = dishes.iter().filter(|dish| !dish.hidden).collect();
    dishes.sort_by_key(|dish| (dish.position, &dish.id));
    let item = |dish: &Dish| {
        let left = portions.get(&dish.id).copied().unwrap_or_default();
        let why = why_not(dish, day, now);
        let why = if why == Unavailable::Unspecified && left < 1 { Unavailable::Ingredients } else { why };
        item(dish, why, locale)
    };
    let section = |category: &MenuCategory| MenuSection {
        id: category.id.clone(),
        name: text(category.name.as_ref(), locale).to_owned(),
        dishes: dishes.iter().filter(|dish| dish.category_id == category.id).map(|dish| item(dish)).collect(),
    };
    let categories = categories.into_iter().map(section).filter(|section| !section.dishes.is_empty());
    ListMenuCategoriesResponse { categories: categories.collect() }
}

fn item(dish: &Dish, unavailable: Unavailable, locale: &str) -> MenuItem {
    let currency = dish.price.as_ref().map(|price| price.currency.as_str()).unwrap_or_default();
    let modifier = |modifier: &Modifier| MenuModifier {
        id: modifier.id.clone(),
        name: text(modifier.name.as_ref(), locale).to_owned(),
        price: Some(Money { amount_minor: modifier.price_minor, currency: currency.to_owned() }),
    };
    MenuItem {
        id: dish.id.clone(),
        name: text(dish.name.as_ref(), locale).to_owned(),
        description: text(dish.description.as_ref(), locale).to_owned(),
        price: dish.price.clone(),
        photo_url: dish.photo_url.clone(),
        allergens: dish.allergens.clone(),
        modifiers: dish.modifiers.iter().map(modifier).collect(),
        available: unavailable == Unavailable::Unspecified,
        unavailable: unavailable.into(),
    }
}

/// Why a dish cannot be ordered, whatever there is to cook it from.
fn why_not(dish: &Dish, day: &Day, now: DateTime<Utc>) -> Unavailable {
    if dish.hidden {
        Unavailable::Hidden
    } else if !day.serves(&dish.day_parts, now) {
        Unavailable::DayPart
    } else {
        Unavailable::Unspecified
    }
}

/// What a line comes to, before the kitchen is asked: `None` where its price is more than money can hold.
pub(crate) fn offer(
    line: &DishLine,
    dish: Option<&Dish>,
    day: &Day,
    locale: &str,
    now: DateTime<Utc>,
) -> Option<DishOffer> {
    let refused = |why: Unavailable| DishOffer {
        dish_id: line.dish_id.clone(),
        unavailable: why.into(),
        ..DishOffer::default()
    };
    let Some((dish, price)) = dish.and_then(|dish| Some((dish, dish.price.as_ref()?))) else {
        return Some(refused(Unavailable::Unknown));
    };
    let name = text(dish.name.as_ref(), locale).to_owned();
    let modifier = |id: &String| dish.modifiers.iter().find(|modifier| modifier.id == *id);
    let Some(modifiers) = line.modifier_ids.iter().map(modifier).collect::<Option<Vec<_>>>() else {
        return Some(DishOffer { name, ..refused(Unavailable::Modifier) });
    };
    let more = modifiers.iter().map(|modifier| modifier.price_minor);
    let amount_minor = money::sum(std::iter::once(price.amount_minor).chain(more))?;
    let names = modifiers.iter().map(|modifier| text(modifier.name.as_ref(), locale).to_owned());
    Some(DishOffer {
        name,
        price: Some(Money { amount_minor, currency: price.currency.clone() }),
        modifiers: names.collect(),
        ..refused(why_not(dish, day, now))
    })
}

/// What the kitchen is asked: the lines that nothing else stands in the way of, and where they stand.
pub(crate) fn question(lines: &[DishLine], offers: &[DishOffer]) -> (Vec<usize>, Vec<CookingOrder>) {
    let open = lines.iter().zip(offers).enumerate();
    open.filter(|(_, (_, offer))| offer.unavailable() == Unavailable::Unspecified)
        .map(|(index, (line, _))| {
            let (dish_id, modifier_ids) = (line.dish_id.clone(), line.modifier_ids.clone());
            (index, CookingOrder { dish_id, quantity: line.quantity, modifier_ids })
        })
        .unzip()
}

/// Notes what the kitchen answered.
pub(crate) fn answered(offers: &mut [DishOffer], at: &[usize], portions: &[DishPortions]) {
    for (index, portions) in at.iter().zip(portions) {
        let Some(offer) = offers.get_mut(*index) else { continue };
        offer.portions = portions.portions;
        if !portions.enough {
            offer.set_unavailable(Unavailable::Ingredients);
        }
    }
}

#[cfg(test)]
mod tests {
    use artel_proto::menu::DayPart;

    use super::*;
    use crate::settings::tests::settings;

    fn words(ru: &str, kk: &str) -> Option<LocalizedText> {
        Some(LocalizedText { ru: ru.into(), kk: kk.into(), en: String::new() })
    }

    fn dish(id: &str, position: i32) -> Dish {
        let modifier =
            |id: &str, price_minor| Modifier {
                id: id.into(), name: words("Сыр", "Ірімшік"), price_minor
            };
        Dish {
            id: id.into(),
            category_id: "soups".into(),
            name: words("Борщ", ""),
            price: Some(Money { amount_minor: 1_000, currency: "KZT".into() }),
            modifiers: vec![modifier("cheese", 250), modifier("dear", i64::MAX)],
            position,
            ..Dish::default()
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_772_434_800, 0).unwrap()
    }

    fn day() -> Day {
        settings("").day().unwrap()
    }

    #[test]
    fn a_menu_is_in_order_without_what_is_taken_off_and_without_empty_parts() {
        let category = |id: &str, position| MenuCategory {
            id: id.into(),
            name: words("Супы", "Сорпалар"),
            position,
            ..MenuCategory::default()
        };
        let (hidden, night) = (
            Dish { hidden: true, ..dish("h", 0) },
            Dish { day_parts: vec![DayPart::Night.into()], ..dish("n", 0) },
        );
        let drink = Dish { category_id: "drinks".into(), ..dish("d", 9) };
        let dishes = [dish("b", 2), dish("a", 1), hidden, night, drink];
        let portions = [("a".to_owned(), 3), ("n".to_owned(), 1)].into();
        let categories = [category("soups", 2), category("drinks", 1), category("empty", 0)];
        let menu = shown(&categories, &dishes, &portions, &day(), "kk", noon());
        let parts: Vec<_> =
            menu.categories.iter().map(|part| (part.id.as_str(), part.name.as_str())).collect();
        assert_eq!(parts, [("drinks", "Сорпалар"), ("soups", "Сорпалар")]);
        let soups: Vec<_> =
            menu.categories[1].dishes.iter().map(|dish| (dish.id.as_str(), dish.unavailable())).collect();
        assert_eq!(
            soups,
            [("n", Unavailable::DayPart), ("a", Unavailable::Unspecified), ("b", Unavailable::Ingredients)]
        );
        let borscht = &menu.categories[1].dishes[1];
        assert_eq!((borscht.name.as_str(), borscht.available), ("Борщ", true), "what has no Kazakh name");
        assert_eq!(borscht.modifiers[0].name, "Ірімшік");
        assert_eq!(borscht.modifiers[0].price.as_ref().unwrap().amount_minor, 250);
    }

    #[test]
    fn a_line_costs_the_dish_and_its_modifiers_or_says_why_not() {
        let line = |modifiers: &[&str]| DishLine {
            dish_id: "a".into(),
            quantity: 2,
            modifier_ids: modifiers.iter().map(|id| (*id).to_owned()).collect(),
        };
        let of = |line: &DishLine, dish: Option<&Dish>| offer(line, dish, &day(), "ru", noon());
        let borscht = dish("a", 0);
        let twice = of(&line(&["cheese", "cheese"]), Some(&borscht)).unwrap();
        assert_eq!((twice.price.unwrap().amount_minor, twice.modifiers.len()), (1_500, 2));
        assert_eq!(of(&line(&["dear"]), Some(&borscht)), None);
        let why = |line: &DishLine, dish: Option<&Dish>| of(line, dish).unwrap().unavailable();
        assert_eq!(why(&line(&["ham"]), Some(&borscht)), Unavailable::Modifier);
        assert_eq!(why(&line(&[]), None), Unavailable::Unknown);
        let hidden = Dish { hidden: true, ..borscht.clone() };
        assert_eq!(why(&line(&[]), Some(&hidden)), Unavailable::Hidden);
        let night = Dish { day_parts: vec![DayPart::Night.into()], ..borscht };
        assert_eq!(why(&line(&[]), Some(&night)), Unavailable::DayPart);
    }

    #[test]
    fn the_kitchen_is_asked_for_what_can_be_ordered_otherwise() {
        let line = |id: &str| DishLine { dish_id: id.into(), quantity: 1, ..DishLine::default() };
        let lines = [line("a"), line("gone"), line("b")];
        let (a, b) = (dish("a", 0), dish("b", 0));
        let offers = [Some(&a), None, Some(&b)];
        let mut offers: Vec<_> = lines
            .iter()
            .zip(offers)
            .map(|(line, dish)| offer(line, dish, &day(), "ru", noon()).unwrap())
            .collect();
        let (at, asked) = question(&lines, &offers);
        assert_eq!((at.as_slice(), asked[1].dish_id.as_str()), ([0, 2].as_slice(), "b"));
        let portions = |portions, enough| DishPortions { portions, enough, ..DishPortions::default() };
        answered(&mut offers, &at, &[portions(5, true), portions(1, false)]);
        let why: Vec<_> = offers.iter().map(|offer| (offer.unavailable(), offer.portions)).collect();
        assert_eq!(
            why,
            [(Unavailable::Unspecified, 5), (Unavailable::Unknown, 0), (Unavailable::Ingredients, 1)]
        );
    }
}
