//! What a search asks storage for.

use artel_proto::catalog::ListProductsRequest;
use artel_proto::persist::Operator;
use artel_repo::{Direction, Filter, Query};

use crate::refusal::Refusal;

/// Storage takes no more values in one comparison.
const MOST_VALUES: usize = 1_000;

/// The conditions of a search: what the page and the facets have in common. `categories` are the category asked for
/// and all below it.
pub(crate) fn conditions(asked: &ListProductsRequest, categories: &[String]) -> Result<Query, Refusal> {
    if let (Some(min), Some(max)) = (asked.min_price, asked.max_price)
        && min > max
    {
        return Err(Refusal::field("minPrice", format!("must not be more than maxPrice, {max}, is {min}")));
    }
    let mut query = Query::new().search(asked.search.trim());
    if !asked.category_id.is_empty() {
        let any = categories.chunks(MOST_VALUES).map(|some| Filter::one_of("category_id", some));
        query = query.filter(Filter::any(any));
    }
    if !asked.vendor.is_empty() {
        query = query.equal("vendor", &asked.vendor);
    }
    let price = "price.amount_minor";
    if let Some(min) = asked.min_price {
        query = query.filter(Filter::compare(price, Operator::GreaterOrEqual, [min.into()]));
    }
    if let Some(max) = asked.max_price {
        query = query.filter(Filter::compare(price, Operator::LessOrEqual, [max.into()]));
    }
    if let Some(available) = asked.available {
        let operator = if available { Operator::Greater } else { Operator::LessOrEqual };
        query = query.filter(Filter::compare("stock", operator, [0_i32.into()]));
    }
    Ok(query)
}

/// The same search in its order, one page of it.
pub(crate) fn page(query: Query, asked: &ListProductsRequest) -> Result<Query, Refusal> {
    let query = query.page_asked(asked.page_size, &asked.page_token);
    Ok(match order(&asked.order_by)? {
        Some((field, direction)) => query.order(field, direction),
        None if asked.search.trim().is_empty() => query.order("create_time", Direction::Descending),
        // By relevance, as storage sorts what was searched for.
        None => query,
    })
}

fn order(order_by: &str) -> Result<Option<(&'static str, Direction)>, Refusal> {
    let words: Vec<&str> = order_by.split_whitespace().collect();
    let (field, direction) = match words.as_slice() {
        [] => return Ok(None),
        [field] | [field, "asc"] => (field, Direction::Ascending),
        [field, "desc"] => (field, Direction::Descending),
        _ => (&"", Direction::Ascending),
    };
    let field = match *field {
        "price" => "price.amount_minor",
        "name" => "name",
        "create_time" | "createTime" => "create_time",
        _ => {
            return Err(Refusal::field(
                "orderBy",
                format!(
                    "must be `price`, `name` or `create_time`, with ` desc` behind it for the greatest first, is \
                     `{order_by}`"
                ),
            ));
        }
    };
    Ok(Some((field, direction)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        use Direction::{Ascending, Descending};
        assert_eq!(order(" ").unwrap(), None);
        assert_eq!(order("price").unwrap(), Some(("price.amount_minor", Ascending)));
        assert_eq!(order(" name  desc ").unwrap(), Some(("name", Descending)));
        assert_eq!(order("createTime desc").unwrap(), Some(("create_time", Descending)));
        for bad in ["stock", "price DESC", "price desc name", "price,name", "desc"] {
            let Err(Refusal::Fields(wrong)) = order(bad) else { panic!("{bad}") };
            assert_eq!(wrong[0].field, "orderBy");
            assert!(wrong[0].description.contains("`create_time`"));
        }
    }

    #[test]
    fn a_range_of_prices_has_two_ends_in_order() {
        let asked = |min_price, max_price| ListProductsRequest { min_price, max_price, ..Default::default() };
        assert!(conditions(&asked(Some(5), Some(5)), &[]).is_ok());
        let Err(Refusal::Fields(wrong)) = conditions(&asked(Some(6), Some(5)), &[]) else { panic!() };
        assert_eq!(wrong[0].field, "minPrice");
    }
}
