//! Search: a page of products, and what all that match falls into.

use artel_client::Call;
use artel_proto::catalog::{
    CategoryFacet, Facets, ListProductsRequest, ListProductsResponse, Product, VendorFacet,
};
use artel_repo::{Group, Measure};
use artel_util::Error;

use crate::api::Catalog;
use crate::domain::search::{conditions, page};

/// Values of a facet at most.
const MOST_VALUES: usize = 50;
/// One more than that: products without a maker or category make a group of their own, which is left out.
const GROUPS: i32 = 51;

/// Finds products.
pub(crate) async fn list(
    catalog: &Catalog,
    call: &Call,
    asked: &ListProductsRequest,
) -> Result<ListProductsResponse, Error> {
    let tree = catalog.categories.recent(call).await?;
    let categories = if asked.category_id.is_empty() { Vec::new() } else { tree.subtree(&asked.category_id) };
    let matching = conditions(asked, &categories)?;
    let page = page(matching.clone(), asked)?;
    let count = |field| {
        let fields = [field];
        let (repo, matching) = (&catalog.repo, matching.clone());
        async move { repo.aggregate::<Product>(call, matching, &fields, [Measure::count()], GROUPS).await }
    };
    let (page, by_category, by_vendor) =
        tokio::try_join!(catalog.repo.query::<Product>(call, page), count("category_id"), count("vendor"))?;
    let facets = Facets {
        categories: named(&by_category)
            .map(|(id, count)| CategoryFacet {
                category_id: id.to_owned(),
                name: tree.name(id).unwrap_or_default().to_owned(),
                count,
            })
            .collect(),
        vendors: named(&by_vendor)
            .map(|(vendor, count)| VendorFacet { vendor: vendor.to_owned(), count })
            .collect(),
    };
    Ok(ListProductsResponse {
        products: page.items,
        next_page_token: page.next_page_token,
        facets: Some(facets),
    })
}

/// The groups with a value, and their counts.
fn named(groups: &[Group]) -> impl Iterator<Item = (&str, i32)> {
    let groups =
        groups.iter().map(|group| (group.text(0), i32::try_from(group.number(0)).unwrap_or(i32::MAX)));
    groups.filter(|(value, _)| !value.is_empty()).take(MOST_VALUES)
}
