//! Search: a page of products, and what all that match falls into.

use artel_client::Call;
use artel_proto::catalog::{
    CategoryFacet, Facets, ListProductsRequest, ListProductsResponse, Product, VendorFacet,
};
use artel_util::Error;

use crate::api::Catalog;
use crate::domain::search::{conditions, page};

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
    let (page, counts) = tokio::try_join!(
        catalog.repo.query::<Product>(call, page),
        catalog.facets.of(call, asked, &matching)
    )?;
    let categories = counts.categories.iter().map(|(id, count)| CategoryFacet {
        category_id: id.clone(),
        name: tree.name(id).unwrap_or_default().to_owned(),
        count: *count,
    });
    let vendors =
        counts.vendors.iter().map(|(vendor, count)| VendorFacet { vendor: vendor.clone(), count: *count });
    let facets = Facets { categories: categories.collect(), vendors: vendors.collect() };
    Ok(ListProductsResponse {
        products: page.items,
        next_page_token: page.next_page_token,
        facets: Some(facets),
    })
}
