use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::shape::typed;
use crate::{Config, Error, Overrides, Shape};

/// A section as a running process has it: takes from Consul what is good and can be taken live, and keeps the rest.
#[derive(Debug)]
pub struct Running<T> {
    config: Config,
    name: &'static str,
    shape: Shape,
    table: Table,
    section: PhantomData<fn() -> T>,
}

/// What became of a change that is good.
#[derive(Debug)]
pub struct Taken<T> {
    /// The section from now on; `None` where nothing of it changed.
    pub section: Option<T>,
    /// The keys that changed.
    pub changed: Vec<String>,
    /// The keys that differ from what runs until the process starts again.
    pub after_restart: Vec<String>,
}

impl<T: DeserializeOwned> Running<T> {
    /// The section at the start of a process. Where what Consul says is wrong, the file and the environment stand; that
    /// error comes third.
    ///
    /// # Errors
    /// Where the file or the environment is wrong.
    pub fn start(
        config: Config,
        name: &'static str,
        shape: Shape,
        overrides: &Overrides,
    ) -> Result<(Self, T, Option<Error>), Error> {
        let good = |overrides: &Overrides| {
            let table = config.layers(name, &shape, overrides)?;
            shape.check(name, table.clone())?;
            Ok((typed(name, table.clone())?, table))
        };
        let own = good(&Overrides::default())?;
        let ((section, table), refused) = match good(overrides) {
            Ok(whole) => (whole, None),
            Err(error) => (own, Some(error)),
        };
        Ok((Self { config, name, shape, table, section: PhantomData }, section, refused))
    }

    /// Takes what Consul says now.
    ///
    /// # Errors
    /// Where any of it is wrong: an unknown key, a wrong type, what the section itself refuses. Nothing is taken then.
    pub fn take(&mut self, overrides: &Overrides) -> Result<Taken<T>, Error> {
        let wanted = self.config.layers(self.name, &self.shape, overrides)?;
        self.shape.check(self.name, wanted.clone())?;
        let _: T = typed(self.name, wanted.clone())?;
        let differs = differences("", &self.table, &wanted);
        let (changed, after_restart): (Vec<_>, Vec<_>) =
            differs.into_iter().partition(|key| self.shape.is_live(key));
        if changed.is_empty() {
            return Ok(Taken { section: None, changed, after_restart });
        }
        let mut table = self.table.clone();
        for key in &changed {
            copy(key, &wanted, &mut table);
        }
        // Good as a whole, and yet what is live of it may not fit what waits for a restart.
        self.shape.check(self.name, table.clone())?;
        let section = typed(self.name, table.clone())?;
        self.table = table;
        Ok(Taken { section: Some(section), changed, after_restart })
    }
}

/// The dotted keys whose values differ. Both have the same keys: those of the defaults.
fn differences(prefix: &str, one: &Table, other: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in one {
        match (value, other.get(key)) {
            (Value::Table(one), Some(Value::Table(other))) => {
                keys.extend(differences(&format!("{prefix}{key}."), one, other));
            }
            (value, other) if other != Some(value) => keys.push(format!("{prefix}{key}")),
            _ => {}
        }
    }
    keys
}

/// Copies the value at a dotted key.
fn copy(key: &str, from: &Table, to: &mut Table) {
    match key.split_once('.') {
        None => {
            if let Some(value) = from.get(key) {
                to.insert(key.to_owned(), value.clone());
            }
        }
        Some((table, rest)) => {
            if let (Some(Value::Table(from)), Some(Value::Table(to))) = (from.get(table), to.get_mut(table)) {
                copy(rest, from, to);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Section;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Mail {
        smtp: String,
        from: String,
        limits: Limits,
        password: String,
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        least: u32,
        most: u32,
    }

    impl Section for Mail {
        const DEFAULTS: &'static str = "smtp = 'a'\nfrom = 'me'\npassword = ''\npassword_file = ''\n\
                                        [limits]\nleast = 1\nmost = 5\n";
        const LIVE: &'static [&'static str] = &["from", "limits.most"];
        const LOCAL: &'static [&'static str] = &[];

        fn check(&self) -> anyhow::Result<()> {
            anyhow::ensure!(self.limits.least <= self.limits.most, "mail.limits.least is above most");
            Ok(())
        }
    }

    const NAME: &str = "mail";

    fn kv(entries: &[(&str, &str)]) -> Overrides {
        let mut overrides = Overrides::default();
        for (number, (key, text)) in (1..).zip(entries) {
            overrides.put(NAME, key, text, number);
        }
        overrides
    }

    fn start(file: &str, entries: &[(&str, &str)]) -> (Running<Mail>, Mail, Option<Error>) {
        Running::start(Config::parse(file).unwrap(), NAME, Shape::of::<Mail>(), &kv(entries)).unwrap()
    }

    #[test]
    fn consul_stands_above_the_file_and_below_the_environment() {
        let mut config = Config::parse("[mail]\nsmtp = 'file'\nfrom = 'file'").unwrap();
        config.environment.insert("ARTEL_MAIL__LIMITS__MOST".into(), "9".into());
        let overrides = kv(&[("from", "consul"), ("limits.most", "7\n")]);
        let (_, mail, refused) =
            Running::<Mail>::start(config, NAME, Shape::of::<Mail>(), &overrides).unwrap();
        assert!(refused.is_none());
        assert_eq!((mail.smtp.as_str(), mail.from.as_str(), mail.limits.most), ("file", "consul", 9));
    }

    #[test]
    fn what_is_live_is_taken_and_the_rest_waits_for_a_restart() {
        let (mut running, mail, _) = start("[mail]\nfrom = 'file'", &[]);
        assert_eq!(mail.from, "file");
        let change = kv(&[("from", "consul"), ("smtp", "b"), ("limits.most", "6")]);
        let taken = running.take(&change).unwrap();
        let mail = taken.section.unwrap();
        assert_eq!((mail.from.as_str(), mail.smtp.as_str(), mail.limits.most), ("consul", "a", 6));
        assert_eq!(taken.changed, ["from", "limits.most"]);
        assert_eq!(taken.after_restart, ["smtp"]);
        // The same again changes nothing; what is taken away falls back to the file.
        assert!(running.take(&change).unwrap().section.is_none());
        let taken = running.take(&Overrides::default()).unwrap();
        assert!(taken.after_restart.is_empty());
        assert_eq!(taken.section.unwrap().from, "file");
    }

    #[test]
    fn one_bad_value_refuses_all_and_the_old_ones_stay() {
        let (mut running, ..) = start("", &[]);
        for (bad, names) in [
            (("form", "x"), "form"),
            (("limits.most", "many"), "a whole number"),
            (("limits.most", "-1"), "u32"),
            (("limits.most", "0"), "limits.least"),
            (("limits", "x"), "key by key"),
            (("from.x", "y"), "from.x"),
            (("password", "hunter2"), "secret"),
            (("password_file", "/etc/passwd"), "secret"),
        ] {
            let error = running.take(&kv(&[("from", "new"), bad])).unwrap_err().to_string();
            assert!(error.contains(names), "{bad:?}: {error}");
            assert!(!error.contains("hunter2"));
        }
        let taken = running.take(&kv(&[])).unwrap();
        assert!(taken.changed.is_empty() && taken.section.is_none(), "something of it was taken: {taken:?}");
    }

    #[test]
    fn a_bad_value_at_the_start_leaves_the_file() {
        let (mut running, mail, refused) =
            start("[mail]\nfrom = 'file'", &[("from", "consul"), ("limits.most", "0")]);
        assert_eq!((mail.from.as_str(), mail.limits.most), ("file", 5));
        assert!(refused.unwrap().to_string().contains("limits.least"));
        assert_eq!(running.take(&kv(&[("from", "mended")])).unwrap().section.unwrap().from, "mended");
    }

    #[test]
    fn what_is_live_must_fit_what_waits_for_a_restart() {
        // Good together, but `least` waits: until then `most` must not be below the old one.
        let (mut running, ..) = start("[mail.limits]\nleast = 3", &[]);
        let error = running.take(&kv(&[("limits.least", "1"), ("limits.most", "2")])).unwrap_err();
        assert!(error.to_string().contains("limits.least"), "{error}");
    }
}
