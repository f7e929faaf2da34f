//! What a new service and its entity are called, in each of the ways that files spell it.

use std::path::Path;

use anyhow::{Result, bail, ensure};

/// Longest name: it stands in queues, containers and tables.
const LONGEST: usize = 20;

/// Rust's keywords, today's and those kept for later.
const KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern false \
    final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static struct \
    super trait true try type typeof union unsafe unsized use virtual where while yield";
/// Names with a meaning of their own in the mesh or in `artel-proto`.
const SERVICES_TAKEN: &str = "all annotations api artel codec entities events generated google implementations mesh \
    operator service services test types validate";
/// Words that the code of every service uses for something else.
const ENTITIES_TAKEN: &str = "call channel code commit direction error field host id key message mesh name none ok \
    option page person query reference refusal repo request response result service status string table timestamp \
    user value version world";

/// The words of a new service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The service: `loyalty`.
    pub name: String,
    /// What it keeps: `card`.
    pub entity: String,
    /// Many of them: `cards`.
    pub entities: String,
}

impl Words {
    /// The words of the service `name`, which keeps `entity`.
    ///
    /// # Errors
    /// A name that cannot be used, or that something in the project at `root` has already.
    pub fn new(root: &Path, name: &str, entity: &str) -> Result<Self> {
        check("a service's name", name, SERVICES_TAKEN)?;
        check("an entity's name", entity, ENTITIES_TAKEN)?;
        for folder in ["services", "packages", "sandboxes", "proto/artel"] {
            let taken = root.join(folder).join(name);
            ensure!(!taken.exists(), "`{name}` is taken: there is {folder}/{name}");
        }
        let compose = std::fs::read_to_string(root.join("compose.yaml"))?;
        let container = format!("  {name}:");
        ensure!(
            !compose.lines().any(|line| line == container),
            "`{name}` is taken: compose.yaml has a container of that name"
        );
        let words = Self { name: name.to_owned(), entity: entity.to_owned(), entities: plural(entity) };
        let contracts = super::text_below(&root.join("proto/artel"), "proto")?;
        for (what, text) in [
            ("a table", format!("table: \"{}\"", words.entities)),
            ("an event", format!("name: \"{entity}.created\"")),
            ("a path", format!("\"/api/v1/{}\"", words.entities)),
        ] {
            let hint = "name what it keeps with `--entity`, or use another name";
            ensure!(
                !contracts.contains(&text),
                "the contracts have {what} like that already ({text}): {hint}"
            );
        }
        Ok(words)
    }

    /// What templates call each word.
    pub fn values(&self) -> Vec<(&'static str, String)> {
        let article = if self.entity.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        vec![
            ("name", self.name.clone()),
            ("Name", capital(&self.name)),
            ("entity", self.entity.clone()),
            ("Entity", capital(&self.entity)),
            ("ENTITY", self.entity.to_uppercase()),
            ("a_entity", format!("{article} {}", self.entity)),
            ("entities", self.entities.clone()),
            ("Entities", capital(&self.entities)),
        ]
    }
}

fn check(what: &str, name: &str, taken: &str) -> Result<()> {
    let letters = name.chars().all(|letter| letter.is_ascii_lowercase());
    if !letters || !(2..=LONGEST).contains(&name.len()) {
        bail!("{what} is 2 to {LONGEST} lower-case Latin letters and nothing else, not `{name}`");
    }
    let among = |words: &str| words.split_whitespace().any(|word| word == name);
    ensure!(!among(KEYWORDS), "`{name}` is a word of Rust's own and cannot be {what}");
    ensure!(!among(taken), "`{name}` means something else in the mesh and cannot be {what}");
    Ok(())
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.len().min(1));
    first.to_uppercase() + rest
}

/// Many of them, by the rules of English; its exceptions get a regular one.
fn plural(word: &str) -> String {
    let stem = |cut: usize| &word[..word.len() - cut];
    if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        return format!("{word}es");
    }
    match word.strip_suffix('y') {
        Some(rest) if !rest.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{}ies", stem(1)),
        _ => format!("{word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artel;

    fn refusal(name: &str, entity: &str) -> String {
        Words::new(&artel::root(), name, entity).unwrap_err().to_string()
    }

    #[test]
    fn a_name_is_a_short_word_that_nothing_else_has() {
        for dirty in ["", "x", "Review", "re-view", "re_view", "review2", "../order", "обзор", "re view"]
        {
            assert!(refusal(dirty, "mallet").contains("lower-case"), "{dirty}");
        }
        assert!(refusal(&"a".repeat(21), "mallet").contains("2 to 20"));
        assert!(refusal("match", "mallet").contains("Rust"));
        assert!(refusal("mesh", "mallet").contains("means something else"));
        assert!(refusal("order", "mallet").contains("services/order"));
        assert!(refusal("queue", "mallet").contains("packages/queue"));
        assert!(refusal("mailbox", "mallet").contains("sandboxes/mailbox"));
        assert!(refusal("envoy", "mallet").contains("compose.yaml"));
        assert!(refusal("xylophone", "order").contains("table: \"orders\""));
        assert!(refusal("xylophone", "Mallet").contains("lower-case"));
        assert!(refusal("xylophone", "request").contains("means something else"));
    }

    #[test]
    fn words_are_spelled_as_files_want_them() {
        let words = Words::new(&artel::root(), "xylophone", "octave").unwrap();
        let values = words.values();
        let value = |name: &str| values.iter().find(|(key, _)| *key == name).unwrap().1.as_str();
        assert_eq!(
            (value("Name"), value("a_entity"), value("Entities")),
            ("Xylophone", "an octave", "Octaves")
        );
    }

    #[test]
    fn plurals_follow_the_rules() {
        for (one, many) in [
            ("card", "cards"),
            ("loyalty", "loyalties"),
            ("day", "days"),
            ("box", "boxes"),
            ("branch", "branches"),
            ("address", "addresses"),
        ] {
            assert_eq!(plural(one), many);
        }
    }
}
