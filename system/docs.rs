//! `artel docs`: the pages of docs/services, and the documents of the API and of its events, written from the contracts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use artel_proto::annotations::pool;
use artel_reference::pretty;

use crate::events;

/// Writes the pages, or only looks whether they are what would be written.
pub(crate) async fn run(folder: &Path, check: bool) -> anyhow::Result<()> {
    let services = artel_reference::read(pool());
    let pages = services
        .iter()
        .map(|service| (format!("services/{}.md", service.name), artel_reference::service(service)))
        .chain([
            ("services/README.md".to_owned(), artel_reference::index(&services)),
            ("openapi.json".to_owned(), pretty(&artel_reference::openapi(&services))),
            ("asyncapi.json".to_owned(), pretty(&events::asyncapi().await?)),
        ]);
    for (name, text) in pages {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            bail!("{} is not what the contracts say: run `artel docs`", path.display());
        }
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).with_context(|| format!("cannot make {}", above.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
