//! `artel docs`: the pages of docs/services, written from the contracts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use artel_proto::annotations::pool;

/// Writes the pages, or only looks whether they are what would be written.
pub(crate) fn run(folder: &Path, check: bool) -> anyhow::Result<()> {
    let services = artel_reference::read(pool());
    let pages = services
        .iter()
        .map(|service| (format!("{}.md", service.name), artel_reference::service(service)))
        .chain([("README.md".to_owned(), artel_reference::index(&services))]);
    for (name, text) in pages {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|found| found == text) {
            continue;
        }
        if check {
            bail!("{} is not what the contracts say: run `artel docs`", path.display());
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
