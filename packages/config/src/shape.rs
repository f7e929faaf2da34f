use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::Error;

/// A section of the configuration: its type, its documented defaults and its rules.
pub trait Section: DeserializeOwned + Send + Sync + 'static {
    /// The documented defaults, TOML.
    const DEFAULTS: &'static str;
    /// The keys that are taken while the process runs; a table's name stands for all in it. A change of any other key
    /// takes effect after a restart.
    const LIVE: &'static [&'static str] = &[];
    /// The keys that Consul cannot say, because they are needed to reach it or belong to one machine. Secrets (keys with
    /// a `_file` beside them) never can.
    const LOCAL: &'static [&'static str] = &[];

    /// Refuses what has the right types and yet cannot work, naming the key.
    ///
    /// # Errors
    /// Which key is wrong, and what it must be.
    fn check(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// A section without its type, as commands and the layers see it.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// The documented defaults, TOML.
    pub defaults: &'static str,
    pub(crate) live: &'static [&'static str],
    pub(crate) local: &'static [&'static str],
    check: fn(Table) -> Result<(), String>,
}

impl Shape {
    /// The shape of a section that has rules of its own.
    #[must_use]
    pub const fn of<S: Section>() -> Self {
        Self { defaults: S::DEFAULTS, live: S::LIVE, local: S::LOCAL, check: check::<S> }
    }

    /// The shape of a section known by its defaults alone: every value must have its default's type, and takes effect
    /// after a restart.
    #[must_use]
    pub const fn plain(defaults: &'static str) -> Self {
        Self { defaults, live: &[], local: &[], check: |_| Ok(()) }
    }

    /// True for a key (dotted) that is taken without a restart.
    #[must_use]
    pub fn is_live(&self, key: &str) -> bool {
        within(key, self.live)
    }

    pub(crate) fn is_local(&self, key: &str) -> bool {
        within(key, self.local)
    }

    pub(crate) fn check(&self, section: &str, table: Table) -> Result<(), Error> {
        (self.check)(table).map_err(|message| Error::Invalid { section: section.to_owned(), message })
    }
}

/// A section's table as its type, by its rules.
pub(crate) fn typed<T: DeserializeOwned>(section: &str, table: Table) -> Result<T, Error> {
    Value::Table(table).try_into().map_err(|error: toml::de::Error| Error::Invalid {
        section: section.to_owned(),
        message: error.message().to_owned(),
    })
}

fn check<S: Section>(table: Table) -> Result<(), String> {
    let section: S =
        Value::Table(table).try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    section.check().map_err(|error| format!("{error:#}"))
}

/// True where the key is one of these or stands in a table that is.
fn within(key: &str, keys: &[&str]) -> bool {
    keys.iter().any(|one| key == *one || key.strip_prefix(one).is_some_and(|rest| rest.starts_with('.')))
}
