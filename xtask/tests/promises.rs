//! What the documentation promises is what tests show: each test that docs/promises.md names is there.

use std::path::Path;

/// The links of a page whose text is code: the text and where it leads.
fn links(page: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = page;
    while let Some((_, after)) = rest.split_once("[`") {
        let Some((name, after)) = after.split_once("`](") else { break };
        let Some((target, after)) = after.split_once(')') else { break };
        found.push((name, target));
        rest = after;
    }
    found
}

#[test]
fn every_promise_names_a_test_that_is_there() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = std::fs::read_to_string(docs.join("promises.md")).unwrap();
    let mut missing = Vec::new();
    let mut count = 0;
    for (name, target) in links(&page) {
        count += 1;
        let source = std::fs::read_to_string(docs.join(target)).unwrap_or_default();
        if !source.contains(&format!("fn {name}(")) {
            missing.push(format!("{name} in {target}"));
        }
    }
    assert!(missing.is_empty(), "docs/promises.md names tests that are not there: {missing:#?}");
    assert!(count > 50, "only {count}");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let bare: Vec<&str> = rows.filter(|row| links(row).is_empty()).collect();
    assert!(bare.is_empty(), "promises without a test: {bare:#?}");
}
