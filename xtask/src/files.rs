//! Small file helpers: templates, private files, and writes that are never seen half done.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Fills `{{name}}` in a template. A name left over is a mistake in the template, and refused.
pub fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("{{{{{name}}}}}"), value);
    }
    if let Some(at) = text.find("{{") {
        let rest: String = text[at..].chars().take(40).collect();
        bail!("a template has a placeholder nobody fills: {rest}");
    }
    Ok(text)
}

/// Writes a file readable by its owner only (0600), replacing an old one in a single step.
pub fn write_private(path: &Path, content: &str) -> Result<()> {
    write_mode(path, content, 0o600)
}

/// Writes a file everybody may read (0644), replacing an old one in a single step.
pub fn write_public(path: &Path, content: &str) -> Result<()> {
    write_mode(path, content, 0o644)
}

fn write_mode(path: &Path, content: &str, mode: u32) -> Result<()> {
    let name = path.file_name().context("a file needs a name")?.to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let write = || -> Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&new)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.write_all(content.as_bytes())?;
        fs::rename(&new, path)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// The last `lines` lines of a file, or nothing where there is none.
pub fn tail(path: &Path, lines: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    let start = bytes.len().saturating_sub(64 * 1024);
    let text = String::from_utf8_lossy(&bytes[start..]);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_completely_or_refused() {
        assert_eq!(fill("port {{port}}\n", &[("port", "1")]).unwrap(), "port 1\n");
        let error = fill("{{port}} {{host}}", &[("port", "1")]).unwrap_err().to_string();
        assert!(error.contains("{{host}}"), "{error}");
    }

    #[test]
    fn private_files_are_private_and_replaced_whole() {
        let dir = std::env::temp_dir().join(format!("artel-files-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let path = dir.join("secret");
        write_private(&path, "one").unwrap();
        write_private(&path, "two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_dir_all(&dir).unwrap();
    }
}
