//! How one section is put together from its layers.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::Error;

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
        let path = name[prefix.len()..].to_lowercase();
        let unknown = |table: &Table| Error::Unknown {
            key: path.replace("__", "."),
            origin: name.clone(),
            section: section.to_owned(),
            known: table.keys().cloned().collect::<Vec<_>>().join(", "),
        };
        let mut keys: Vec<&str> = path.split("__").collect();
        let Some(last) = keys.pop() else { continue };
        let mut table = &mut *base;
        for key in keys {
            let error = unknown(table);
            let Some(Value::Table(inner)) = table.get_mut(key) else { return Err(error) };
            table = inner;
        }
        let error = unknown(table);
        let slot = table.get_mut(last).ok_or(error)?;
        *slot = typed(slot, text).map_err(|expected| Error::Invalid {
            section: section.to_owned(),
            message: format!("{name} must be {expected}"),
        })?;
    }
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
        Value::Datetime(_) | Value::Table(_) => Err("set key by key"),
    }
}
