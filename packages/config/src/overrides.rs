use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

/// Where Consul's KV keeps settings: `artel/config/<section>/<key>`, a table's keys in a folder of its name, each value
/// as plain text.
pub const PREFIX: &str = "artel/config/";

/// What stands in Consul's KV above the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(BTreeMap<String, BTreeMap<String, Override>>);

/// One setting's text, and Consul's index of its last change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Override {
    pub(crate) text: String,
    index: u64,
}

impl Overrides {
    /// Reads keys of the KV (with [`PREFIX`]), their texts and indexes. What is no setting (a folder) is left out.
    pub fn read<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str, u64)>) -> Self {
        let mut all = Self::default();
        for (path, text, index) in entries {
            let setting = path.strip_prefix(PREFIX).and_then(|path| path.split_once('/'));
            if let Some((section, key)) = setting
                && !key.is_empty()
                && !key.ends_with('/')
            {
                all.put(section, &key.replace('/', "."), text, index);
            }
        }
        all
    }

    /// Sets one more; `key` is dotted.
    pub fn put(&mut self, section: &str, key: &str, text: &str, index: u64) {
        let section = self.0.entry(section.to_owned()).or_default();
        section.insert(key.to_owned(), Override { text: text.trim().to_owned(), index });
    }

    /// Takes one away; `key` is dotted. False where it was not set.
    pub fn remove(&mut self, section: &str, key: &str) -> bool {
        self.0.get_mut(section).is_some_and(|keys| keys.remove(key).is_some())
    }

    /// The version of a section's settings: Consul's index of the last change and a digest of them all, since an index
    /// alone says nothing of a setting that was taken away. `0` where none is set. Two processes that say the same
    /// version took the same settings.
    #[must_use]
    pub fn version(&self, section: &str) -> String {
        let Some(keys) = self.0.get(section).filter(|keys| !keys.is_empty()) else { return "0".to_owned() };
        let mut digest = Sha256::new();
        for (key, value) in keys {
            digest.update(format!("{key}={}\n", value.text));
        }
        let digest = digest.finalize();
        let last = keys.values().map(|value| value.index).max().unwrap_or_default();
        format!("{last}-{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
    }

    /// The settings of a section, by dotted key.
    pub(crate) fn of(&self, section: &str) -> impl Iterator<Item = (&str, &Override)> {
        self.0.get(section).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }
}

/// The KV key of a setting; `key` is dotted.
#[must_use]
pub fn path(section: &str, key: &str) -> String {
    format!("{PREFIX}{section}/{}", key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_changes_with_every_change() {
        let read = |entries: &[(&'static str, &'static str, u64)]| Overrides::read(entries.iter().copied());
        let (a, b, c) = (
            ("artel/config/mail/a", "1", 10),
            ("artel/config/mail/b/c", "2", 15),
            ("artel/config/mail/d", "3", 20),
        );
        assert_eq!(
            read(&[("artel/config/mail/", "", 3), ("artel/config/stray", "x", 4)]).version("mail"),
            "0"
        );
        let versions =
            [vec![a, b, c], vec![b, c], vec![a, c], vec![a, b]].map(|entries| read(&entries).version("mail"));
        for (number, version) in versions.iter().enumerate() {
            assert!(!versions[number + 1..].contains(version), "{versions:?}");
        }
        assert!(versions[0].starts_with("20-"), "{versions:?}");
        assert_eq!(read(&[b]).of("mail").next().unwrap().0, "b.c");
        assert_eq!(path("mail", "b.c"), b.0);
    }
}
