use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{Config, Error, Overrides, Shape, section};

/// A setting as it takes effect, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its dotted key.
    pub key: String,
    /// Its value as TOML; a secret is masked.
    pub value: String,
    /// `default`, the file, `Consul`, or the environment variable.
    pub origin: String,
    /// True where a change takes effect without a restart.
    pub live: bool,
}

impl Config {
    /// Every setting of a section, and where it comes from.
    ///
    /// # Errors
    /// As [`Config::show`].
    pub fn settings(&self, name: &str, shape: &Shape, overrides: &Overrides) -> Result<Vec<Setting>, Error> {
        let mut origins = BTreeMap::new();
        if let Some(Value::Table(file)) = self.file.get(name) {
            origins.extend(leaves("", file).into_iter().map(|(key, _)| (key, self.file_name())));
        }
        origins.extend(overrides.of(name).map(|(key, _)| (key.to_owned(), "Consul".to_owned())));
        let prefix = format!("ARTEL_{}__", name.to_uppercase());
        let variables = self.environment.keys().filter(|variable| variable.starts_with(&prefix));
        origins
            .extend(variables.map(|variable| (section::variable_key(&prefix, variable), variable.clone())));

        let mut table = self.layers(name, shape, overrides)?;
        section::mask(&mut table);
        let settings = leaves("", &table).into_iter().map(|(key, value)| {
            // What is read from a file comes from whoever named the file.
            let origin = origins.get(&format!("{key}_file")).or_else(|| origins.get(&key));
            let origin = origin.cloned().unwrap_or_else(|| "default".to_owned());
            Setting { live: shape.is_live(&key), value: value.to_string(), key, origin }
        });
        Ok(settings.collect())
    }
}

/// The values that are no tables, by dotted key.
fn leaves<'a>(prefix: &str, table: &'a Table) -> Vec<(String, &'a Value)> {
    let mut all = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => all.extend(leaves(&format!("{prefix}{key}."), inner)),
            value => all.push((format!("{prefix}{key}"), value)),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULTS: &str =
        "smtp = 'a'\nfrom = 'me'\nsize = 1\npassword = ''\npassword_file = ''\n[limits]\nmost = 5\n";

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let path = std::env::temp_dir().join(format!("artel-origin-{}", std::process::id()));
        std::fs::write(&path, "hunter2").unwrap();
        let file = format!("[mail]\nfrom = 'x'\nsmtp = 'x'\npassword_file = '{}'", path.display());
        let mut config = Config::parse(&file).unwrap();
        config.environment.insert("ARTEL_MAIL__SMTP".into(), "b".into());
        let mut overrides = Overrides::default();
        overrides.put("mail", "limits.most", "6", 1);
        overrides.put("mail", "smtp", "c", 1);
        let settings = config.settings("mail", &Shape::plain(DEFAULTS), &overrides).unwrap();
        let seen: Vec<_> =
            settings.iter().map(|it| (it.key.as_str(), it.value.as_str(), it.origin.as_str())).collect();
        let expected = [
            ("from", "\"x\"", "the file"),
            ("limits.most", "6", "Consul"),
            ("password", "\"***\"", "the file"),
            ("size", "1", "default"),
            ("smtp", "\"b\"", "ARTEL_MAIL__SMTP"),
        ];
        assert_eq!(seen, expected);
        std::fs::remove_file(path).unwrap();
    }
}
