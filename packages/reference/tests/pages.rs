//! The pages are what the contracts say.

use std::path::Path;

use artel_proto::annotations::pool;
use artel_reference::{Access, Place, read};

#[test]
fn the_pages_in_docs_are_what_the_contracts_say() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/services");
    let services = read(pool());
    let mut pages: Vec<(String, String)> =
        services.iter().map(|it| (format!("{}.md", it.name), artel_reference::service(it))).collect();
    pages.push(("README.md".to_owned(), artel_reference::index(&services)));
    for (name, expected) in &pages {
        let found = std::fs::read_to_string(docs.join(name)).unwrap_or_default();
        assert!(found == *expected, "docs/services/{name} is not what the contracts say: run `artel docs`");
    }
    for entry in std::fs::read_dir(&docs).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(pages.iter().any(|(page, _)| *page == name), "docs/services/{name} is of no service");
    }
}

#[test]
fn everything_is_explained() {
    for service in read(pool()) {
        assert!(!service.comment.is_empty(), "{} has no comment", service.full_name);
        for method in &service.methods {
            assert!(!method.comment.is_empty(), "{}/{} has no comment", service.full_name, method.name);
            for field in method.request.iter().chain(&method.response) {
                assert!(!field.comment.is_empty(), "{}/{}: {}", service.full_name, method.name, field.path);
            }
        }
    }
}

#[test]
fn a_method_is_told_with_its_fields_rules_refusals_and_example() {
    let services = read(pool());
    let find = |service: &str, method: &str| {
        let service = services.iter().find(|it| it.name == service).unwrap();
        service.methods.iter().find(|it| it.name == method).unwrap().clone()
    };
    let order = find("order", "CreateOrder");
    assert_eq!(order.access, Access::SignedIn);
    let quantity = order.request.iter().find(|field| field.path == "items[].quantity").unwrap();
    assert_eq!(quantity.rules, ["1 to 1000000"]);
    assert!(order.refusals.iter().any(|it| it.reason == "OUT_OF_STOCK" && it.status == 400));
    let curl = order.curl.unwrap();
    assert!(
        curl.contains("/api/v1/orders'") && curl.contains("Bearer $TOKEN") && curl.contains("productId"),
        "{curl}"
    );

    let update = find("catalog", "UpdateProduct");
    let id = update.request.iter().find(|field| field.path == "product.id").unwrap();
    assert_eq!((id.place, id.required), (Place::Path, true));
    assert!(update.curl.unwrap().contains("?updateMask=name"));
    let import = find("catalog", "ImportFeed").curl.unwrap();
    assert!(import.contains("-T feed.yml"), "{import}");
}

#[test]
fn the_page_shows_what_is_public_and_loads_nothing() {
    let page = artel_reference::page(&read(pool()));
    let html = &page.html;
    assert!(html.contains("id=\"order-CreateOrder\""));
    assert!(!html.contains("GrantRole") && !html.contains("PersistService"));
    for outside in ["src=\"http", "href=\"http", "url(", "@import", "src=\"/", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
    // The policy of the page names these by their digest: an attribute or another element would not be let through.
    assert!(html.contains(&format!("<style>{}</style>", page.style)));
    assert!(html.contains(&format!("<script>{}</script>", page.script)));
    for inline in [" style=\"", " onclick=\"", "javascript:"] {
        assert!(!html.contains(inline), "{inline}");
    }
    assert!(!html.contains("{{"), "a place was not filled");
}

#[test]
fn the_page_can_call_every_method_that_has_a_path() {
    let services = read(pool());
    let page = artel_reference::page(&services).html;
    let data = page.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let methods = data["methods"].as_array().unwrap();
    let callable = services.iter().flat_map(|service| &service.methods);
    let callable = callable.filter(|it| it.access.is_public() && !it.bindings.is_empty()).count();
    assert_eq!(methods.len(), callable);
    assert_eq!(
        (data["login"].as_str(), data["refresh"].as_str()),
        (Some("/api/v1/auth/login"), Some("/api/v1/auth/refresh"))
    );
    for method in methods {
        let id = method["id"].as_str().unwrap();
        assert!(page.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(page.contains(&format!("data-method=\"{id}\"")), "{id}");
        let braces = method["path"].as_str().unwrap().matches('{').count();
        let fields = method["fields"].as_array().unwrap();
        assert_eq!(fields.iter().filter(|field| field["in"] == "path").count(), braces, "{id}");
    }
    // Every refusal that anybody may meet says what to do.
    for reason in ["UNAUTHENTICATED", "TOKEN_EXPIRED", "SERVICE_UNAVAILABLE", "INVALID_FIELDS"] {
        assert!(
            data["fixes"][reason].is_string() && page.contains(&format!("id=\"error-{reason}\"")),
            "{reason}"
        );
    }
}
