//! A new service: the files of `xtask/templates/service` with its words in them, and the places that name every
//! service. All of it is made in memory before anything is written.

mod edits;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::files;

pub use words::Words;

/// Below the project's folder. In paths NAME stands for the service's name and NUMBER for its migration's.
const TEMPLATES: &str = "xtask/templates/service";

/// A file to be written.
#[derive(Debug, Clone)]
pub struct Change {
    /// Below the project's folder.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
    /// What it was before; `None` where it is new.
    pub before: Option<String>,
}

/// Everything that makes a service of these words in the project at `root`. Writes nothing.
pub fn service(root: &Path, words: &Words) -> Result<Vec<Change>> {
    let migrations = fs::read_to_string(root.join("services/persist/src/migrate.rs"))?;
    let number = edits::next_migration(&migrations, words);
    let number = number.context("services/persist/src/migrate.rs has no list of migrations")?;
    let values = words.values();
    let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();

    let templates = root.join(TEMPLATES);
    let mut changes = Vec::new();
    for template in files_below(&templates)? {
        let path = template.strip_prefix(&templates)?.display().to_string();
        let path = PathBuf::from(path.replace("NAME", &words.name).replace("NUMBER", &number));
        if root.join(&path).exists() {
            bail!("{} is there already", path.display());
        }
        let text = files::fill(&fs::read_to_string(&template)?, &values);
        let text = formatted(root, &path, text.with_context(|| template.display().to_string())?)?;
        changes.push(Change { path, text, before: None });
    }
    for (path, how) in edits::EDITS {
        let before = fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))?;
        let text = edits::edit(path, how, &before, words)?;
        changes.push(Change { path: path.into(), text, before: Some(before) });
    }
    Ok(changes)
}

/// Rust as rustfmt writes it: how lines break depends on the length of the words.
fn formatted(root: &Path, path: &Path, text: String) -> Result<String> {
    if path.extension().is_none_or(|extension| extension != "rs") {
        return Ok(text);
    }
    let mut child = Command::new("rustfmt")
        .arg("--config-path")
        .arg(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run rustfmt (`rustup component add rustfmt` installs it)")?;
    child.stdin.take().context("rustfmt has no input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("rustfmt refuses {}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Writes the changes into the project at `root`: all of them, or none.
pub fn write(root: &Path, changes: &[Change]) -> Result<()> {
    let mut folders = Vec::new();
    for (index, change) in changes.iter().enumerate() {
        let written = write_one(root, change, &mut folders);
        if let Err(error) = written.with_context(|| format!("cannot write {}", change.path.display())) {
            take_back(root, &changes[..=index], &folders);
            return Err(error.context("nothing was changed"));
        }
    }
    Ok(())
}

fn write_one(root: &Path, change: &Change, folders: &mut Vec<PathBuf>) -> Result<()> {
    let file = root.join(&change.path);
    let missing: Vec<&Path> = file.ancestors().skip(1).take_while(|folder| !folder.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder)?;
        folders.push(folder.to_owned());
    }
    match &change.before {
        None => Ok(fs::File::create_new(&file)?.write_all(change.text.as_bytes())?),
        Some(before) if fs::read_to_string(&file)? != *before => bail!("somebody else changed it just now"),
        Some(_) => files::write_public(&file, &change.text),
    }
}

/// As well as that is possible: what can't be taken back is left.
fn take_back(root: &Path, changes: &[Change], folders: &[PathBuf]) {
    for change in changes {
        let file = root.join(&change.path);
        // Only what has our text is ours.
        if fs::read_to_string(&file).is_ok_and(|text| text == change.text) {
            let _ = match &change.before {
                Some(before) => files::write_public(&file, before),
                None => fs::remove_file(&file).map_err(Into::into),
            };
        }
    }
    for folder in folders.iter().rev() {
        let _ = fs::remove_dir(folder);
    }
}

/// Makes `copy` what the project at `root` would be with the changes. A file that is right already is left alone, so
/// that cargo builds only what differs from the last time.
pub fn copy(root: &Path, changes: &[Change], copy: &Path) -> Result<()> {
    let listed = crate::install::run(Command::new("git").arg("-C").arg(root).args([
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut wanted = BTreeMap::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // What git knows may be deleted in the work tree.
        if let Ok(bytes) = fs::read(root.join(path)) {
            wanted.insert(PathBuf::from(path), bytes);
        }
    }
    wanted.extend(changes.iter().map(|change| (change.path.clone(), change.text.clone().into_bytes())));
    fs::create_dir_all(copy)?;
    for file in files_below(copy)? {
        if !wanted.contains_key(file.strip_prefix(copy)?) {
            fs::remove_file(&file)?;
        }
    }
    for (path, bytes) in wanted {
        let file = copy.join(&path);
        if fs::read(&file).ok().as_ref() != Some(&bytes) {
            fs::create_dir_all(file.parent().unwrap_or(copy))?;
            fs::write(&file, bytes)?;
        }
    }
    Ok(())
}

/// Every file below a folder, sorted.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// The texts of all files below a folder with this extension, one after the other.
fn text_below(folder: &Path, extension: &str) -> Result<String> {
    let files = files_below(folder)?.into_iter();
    let files = files.filter(|file| file.extension().is_some_and(|it| it == extension));
    files.map(|file| Ok(fs::read_to_string(file)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artel;

    fn changes() -> Vec<Change> {
        let root = artel::root();
        service(&root, &Words::new(&root, "xylophone", "mallet").unwrap()).unwrap()
    }

    /// A project with what changes touch, and nothing else.
    fn project(name: &str, changes: &[Change]) -> PathBuf {
        let root = std::env::temp_dir().join(format!("artel-scaffold-{name}-{}", std::process::id()));
        for change in changes.iter().filter(|change| change.before.is_some()) {
            let file = root.join(&change.path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, change.before.as_ref().unwrap()).unwrap();
        }
        root
    }

    #[test]
    fn a_service_is_everything_that_one_needs() {
        let changes = changes();
        let find = |end: &str| changes.iter().find(|change| change.path.ends_with(end));
        for end in [
            "proto/artel/xylophone/v1/entities.proto",
            "proto/artel/xylophone/v1/events.proto",
            "proto/artel/xylophone/v1/service.proto",
            "services/xylophone/Cargo.toml",
            "services/xylophone/src/lib.rs",
            "services/xylophone/src/api.rs",
            "services/xylophone/src/domain.rs",
            "services/xylophone/src/error.rs",
            "services/xylophone/tests/xylophone.rs",
            "compose.yaml",
            "README.md",
        ] {
            assert!(find(end).is_some(), "{end}");
        }
        assert!(changes.iter().all(|change| !change.text.contains("{{")));
        let migration = changes.iter().find(|it| it.path.extension().is_some_and(|it| it == "sql")).unwrap();
        assert!(migration.text.contains("CREATE TABLE mallets ("));
        let name = migration.path.file_stem().unwrap().to_str().unwrap();
        assert!(find("migrate.rs").unwrap().text.contains(&format!("(\"{name}\", include_str!")));
    }

    #[test]
    fn what_fails_half_way_is_taken_back() {
        let changes = changes();
        let root = project("back", &changes);
        let before = files_below(&root).unwrap();
        // The last file is another one than when the changes were made.
        let last = root.join(&changes.last().unwrap().path);
        fs::write(&last, "somebody else's").unwrap();
        let error = format!("{:#}", write(&root, &changes).unwrap_err());
        assert!(error.contains("nothing was changed") && error.contains("README.md"), "{error}");
        assert_eq!(files_below(&root).unwrap(), before);
        for change in changes.iter().filter(|change| change.before.is_some() && !last.ends_with(&change.path))
        {
            assert_eq!(Some(fs::read_to_string(root.join(&change.path)).unwrap()), change.before);
        }
        assert_eq!(fs::read_to_string(&last).unwrap(), "somebody else's");
        assert!(!root.join("services/xylophone").exists());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn written_changes_are_there() {
        let changes = changes();
        let root = project("there", &changes);
        write(&root, &changes).unwrap();
        for change in &changes {
            assert_eq!(fs::read_to_string(root.join(&change.path)).unwrap(), change.text);
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
