//! One typed configuration: defaults, then a file, then Consul's KV, then the environment. The documented default file
//! of each crate *is* its default; unknown keys are refused, and everything is read before a port is bound.
//!
//! A key `mesh.log` is `[mesh] log = …` in the file, `artel/config/mesh/log` in Consul and `ARTEL_MESH__LOG` in the
//! environment. A key that ends in `_file` beside one without names a file that holds the value, as container secrets
//! come. This crate knows what Consul said, and not how it is asked.

mod origin;
mod overrides;
mod running;
mod secret;
mod section;
mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub use origin::Setting;
pub use overrides::{Overrides, PREFIX, path};
pub use running::{Running, Taken};
pub use secret::Secret;
pub use shape::{Section, Shape};

/// What is wrong with the configuration, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is not valid TOML: {source}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The defaults hold no such key.
    #[error("unknown key `{key}` ({origin}); the section [{section}] has: {known}")]
    Unknown {
        /// The key.
        key: String,
        /// Where it stands: the file or an environment variable.
        origin: String,
        /// Its section.
        section: String,
        /// The keys there are.
        known: String,
    },
    /// A value has the wrong type or is out of range.
    #[error("section [{section}]: {message}")]
    Invalid {
        /// The section.
        section: String,
        /// What is wrong.
        message: String,
    },
}

/// The file and the environment, from which each crate takes its section.
#[derive(Debug, Clone, Default)]
pub struct Config {
    file: Table,
    path: Option<PathBuf>,
    environment: BTreeMap<String, String>,
}

impl Config {
    /// Reads the file (if one is named) and the environment.
    ///
    /// # Errors
    /// Where the file cannot be read or is no TOML.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let file = match path {
            None => Table::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?
                .parse()
                .map_err(|source| Error::Malformed { path: path.to_owned(), source: Box::new(source) })?,
        };
        let environment = std::env::vars().filter(|(name, _)| name.starts_with("ARTEL_")).collect();
        Ok(Self { file, path: path.map(Path::to_owned), environment })
    }

    /// A configuration from text alone, without environment: for tests.
    ///
    /// # Errors
    /// Where the text is no TOML.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let file = text
            .parse()
            .map_err(|source| Error::Malformed { path: PathBuf::from("<text>"), source: Box::new(source) })?;
        Ok(Self { file, ..Self::default() })
    }

    /// The section of that name over its defaults, typed.
    ///
    /// # Errors
    /// For an unknown key, a wrong type, or a `_file` that cannot be read.
    pub fn section<T: DeserializeOwned>(&self, name: &str, defaults: &str) -> Result<T, Error> {
        shape::typed(name, self.own_layers(name, defaults)?)
    }

    /// The section of that name with what Consul says, as TOML, secrets masked: for people to look at.
    ///
    /// # Errors
    /// As [`Config::section`], and for what Consul must not say.
    pub fn show(&self, name: &str, shape: &Shape, overrides: &Overrides) -> Result<String, Error> {
        let mut table = self.layers(name, shape, overrides)?;
        section::mask(&mut table);
        Ok(Table::from_iter([(name.to_owned(), Value::Table(table))]).to_string())
    }

    /// Says whether a section with what Consul says would be taken.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, name: &str, shape: &Shape, overrides: &Overrides) -> Result<(), Error> {
        shape.check(name, self.layers(name, shape, overrides)?)
    }

    /// The sections the file holds.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.file.keys().map(String::as_str)
    }

    /// Every layer but Consul's.
    fn own_layers(&self, name: &str, defaults: &str) -> Result<Table, Error> {
        let mut table = self.defaults_and_file(name, defaults)?;
        section::overlay(name, &mut table, &self.environment)?;
        section::read_files(name, &mut table)?;
        Ok(table)
    }

    /// Every layer.
    fn layers(&self, name: &str, shape: &Shape, overrides: &Overrides) -> Result<Table, Error> {
        let mut table = self.defaults_and_file(name, shape.defaults)?;
        section::lay(name, &mut table, shape, overrides)?;
        section::overlay(name, &mut table, &self.environment)?;
        section::read_files(name, &mut table)?;
        Ok(table)
    }

    fn defaults_and_file(&self, name: &str, defaults: &str) -> Result<Table, Error> {
        let mut table: Table = defaults.parse().map_err(|error: toml::de::Error| Error::Invalid {
            section: name.to_owned(),
            message: format!("its own defaults: {error}"),
        })?;
        if let Some(Value::Table(file)) = self.file.get(name) {
            section::merge(name, &mut table, file, &self.file_name())?;
        }
        Ok(table)
    }

    fn file_name(&self) -> String {
        self.path.as_ref().map_or_else(|| "the file".to_owned(), |path| path.display().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    struct Mail {
        smtp: String,
        limit: u32,
        password: Secret,
    }

    const DEFAULTS: &str = "smtp = 'smtp://localhost'\nlimit = 5\npassword = ''\npassword_file = ''\n";

    #[test]
    fn file_then_environment() {
        let mut config = Config::parse("[mail]\nlimit = 7\nsmtp = 'a'").unwrap();
        config.environment.insert("ARTEL_MAIL__LIMIT".into(), "9".into());
        let mail: Mail = config.section("mail", DEFAULTS).unwrap();
        assert_eq!((mail.smtp.as_str(), mail.limit), ("a", 9));
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_refused_by_name() {
        let error =
            Config::parse("[mail]\nsmpt = 'a'").unwrap().section::<Mail>("mail", DEFAULTS).unwrap_err();
        assert!(error.to_string().contains("smpt") && error.to_string().contains("smtp"), "{error}");
        let mut config = Config::default();
        config.environment.insert("ARTEL_MAIL__LIMIT".into(), "many".into());
        let error = config.section::<Mail>("mail", DEFAULTS).unwrap_err();
        assert!(error.to_string().contains("ARTEL_MAIL__LIMIT"), "{error}");
    }

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        let config = Config::parse("[mail]\nsmtp = 'smtp://anna:hunter2@mail:25/x?y'").unwrap();
        let shown = config.show("mail", &Shape::plain(DEFAULTS), &Overrides::default()).unwrap();
        assert!(shown.contains("smtp://anna:***@mail:25/x?y"), "{shown}");
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let path = std::env::temp_dir().join(format!("artel-config-{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").unwrap();
        let config = Config::parse(&format!("[mail]\npassword_file = '{}'", path.display())).unwrap();
        let mail: Mail = config.section("mail", DEFAULTS).unwrap();
        assert_eq!(mail.password.reveal(), "hunter2");
        assert!(!format!("{mail:?}").contains("hunter2"));
        assert!(
            !config.show("mail", &Shape::plain(DEFAULTS), &Overrides::default()).unwrap().contains("hunter2")
        );
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_secret_in_a_table_comes_from_a_file_and_never_from_consul() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Vendors {
            bank: Bank,
        }
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bank {
            api_key: Secret,
        }
        let defaults = "[bank]\napi_key = ''\napi_key_file = ''\n";
        let path = std::env::temp_dir().join(format!("artel-config-table-{}", std::process::id()));
        std::fs::write(&path, "hunter2\n").unwrap();
        let text = format!("[vendors.bank]\napi_key_file = '{}'", path.display());
        let vendors: Vendors = Config::parse(&text).unwrap().section("vendors", defaults).unwrap();
        assert_eq!(vendors.bank.api_key.reveal(), "hunter2");
        std::fs::remove_file(path).unwrap();
        for key in ["bank.api_key", "bank.api_key_file"] {
            let mut overrides = Overrides::default();
            overrides.put("vendors", key, "hunter2", 1);
            let error = Config::default().check("vendors", &Shape::plain(defaults), &overrides).unwrap_err();
            assert!(error.to_string().contains("must not stand in Consul"), "{error}");
        }
    }
}
