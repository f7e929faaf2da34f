//! How one section is put together from its layers.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{Error, Overrides, Shape, path};

/// Words in a key that make its value a secret.
const SECRET_WORDS: [&str; 4] = ["password", "secret", "token", "key"];

/// Lays the file's table over the defaults.
pub(crate) fn merge(section: &str, base: &mut Table, over: &Table, origin: &str) -> Result<(), Error> {
    for (key, value) in over {
        let known = base.keys().cloned().collect::<Vec<_>>().join(", ");
        match (base.get_mut(key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => {
                merge(&format!("{section}.{key}"), base, over, origin)?
            }
            (Some(slot), value) => *slot = value.clone(),
            (None, _) => {
                return Err(Error::Unknown {
                    key: key.clone(),
                    origin: origin.to_owned(),
                    section: section.to_owned(),
                    known,
                });
            }
        }
    }
    Ok(())
}

/// Lays environment variables over the defaults; a value takes the type of the default it replaces.
pub(crate) fn overlay(
    section: &str,
    base: &mut Table,
    environment: &BTreeMap<String, String>,
) -> Result<(), Error> {
    let prefix = format!("ARTEL_{}__", section.to_uppercase());
    for (name, text) in environment.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        set(section, base, &variable_key(&prefix, name), text, name)?;
    }
    Ok(())
}

/// The dotted key that an environment variable of a section sets.
pub(crate) fn variable_key(prefix: &str, name: &str) -> String {
    name[prefix.len()..].to_lowercase().replace("__", ".")
}

/// Lays what Consul says over the defaults.
pub(crate) fn lay(
    section: &str,
    base: &mut Table,
    shape: &Shape,
    overrides: &Overrides,
) -> Result<(), Error> {
    for (key, value) in overrides.of(section) {
        let origin = path(section, key);
        let refused = |why: &str| Error::Invalid {
            section: section.to_owned(),
            message: format!("{origin} {why}; set it in the file or the environment"),
        };
        let secret = key.strip_suffix("_file").unwrap_or(key);
        if holds(base, secret) && holds(base, &format!("{secret}_file")) {
            return Err(refused("is a secret and must not stand in Consul"));
        }
        if shape.is_local(key) {
            return Err(refused("cannot come from Consul"));
        }
        set(section, base, key, &value.text, &origin)?;
    }
    Ok(())
}

/// True where there is a key of that dotted name.
fn holds(table: &Table, path: &str) -> bool {
    match path.split_once('.') {
        None => table.contains_key(path),
        Some((first, rest)) => {
            table.get(first).and_then(Value::as_table).is_some_and(|inner| holds(inner, rest))
        }
    }
}

/// Sets a dotted key to what the text says in the type of its default.
fn set(section: &str, base: &mut Table, path: &str, text: &str, origin: &str) -> Result<(), Error> {
    let unknown = |table: &Table| Error::Unknown {
        key: path.to_owned(),
        origin: origin.to_owned(),
        section: section.to_owned(),
        known: table.keys().cloned().collect::<Vec<_>>().join(", "),
    };
    let mut table = base;
    let (tables, last) = path.rsplit_once('.').map_or((None, path), |(tables, last)| (Some(tables), last));
    for key in tables.into_iter().flat_map(|tables| tables.split('.')) {
        let error = unknown(table);
        let Some(Value::Table(inner)) = table.get_mut(key) else { return Err(error) };
        table = inner;
    }
    let error = unknown(table);
    let slot = table.get_mut(last).ok_or(error)?;
    *slot = typed(slot, text).map_err(|expected| Error::Invalid {
        section: section.to_owned(),
        message: format!("{origin} must be {expected}"),
    })?;
    Ok(())
}

/// Reads the files that `…_file` keys name into the keys beside them.
pub(crate) fn read_files(section: &str, table: &mut Table) -> Result<(), Error> {
    let files: Vec<(String, String)> = table
        .iter()
        .filter_map(|(key, value)| Some((key.strip_suffix("_file")?.to_owned(), value.as_str()?.to_owned())))
        .filter(|(key, _)| table.contains_key(key))
        .collect();
    for (key, path) in files {
        table.remove(&format!("{key}_file"));
        if path.is_empty() {
            continue;
        }
        let text = std::fs::read_to_string(&path).map_err(|error| Error::Invalid {
            section: section.to_owned(),
            message: format!("{key}_file: cannot read {path}: {error}"),
        })?;
        table.insert(key, Value::String(text.trim_end().to_owned()));
    }
    for (key, value) in table.iter_mut() {
        if let Value::Table(inner) = value {
            read_files(&format!("{section}.{key}"), inner)?;
        }
    }
    Ok(())
}

/// Masks what looks like a secret.
pub(crate) fn mask(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => mask(inner),
            Value::String(text) if !text.is_empty() && SECRET_WORDS.iter().any(|word| key.contains(word)) => {
                *text = "***".to_owned();
            }
            Value::String(text) => {
                if let Some(masked) = without_password(text) {
                    *text = masked;
                }
            }
            _ => {}
        }
    }
}

/// An address with a password in it, without the password.
fn without_password(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (userinfo, host) = authority.rsplit_once('@')?;
    let (user, _) = userinfo.split_once(':')?;
    Some(format!("{scheme}://{user}:***@{host}{path}"))
}

fn typed(default: &Value, text: &str) -> Result<Value, &'static str> {
    match default {
        Value::String(_) => Ok(Value::String(text.to_owned())),
        Value::Integer(_) => text.parse().map(Value::Integer).map_err(|_| "a whole number"),
        Value::Float(_) => text.parse().map(Value::Float).map_err(|_| "a number"),
        Value::Boolean(_) => text.parse().map(Value::Boolean).map_err(|_| "true or false"),
        Value::Array(_) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(Value::Array(words.map(|word| Value::String(word.to_owned())).collect()))
        }
        Value::Datetime(_) | Value::Table(_) => Err("set key by key: it is a table"),
    }
}
