//! The few places that name every service, and how a new one is added to each.

use anyhow::{Context, Result};

use super::words::Words;

/// How a file is changed.
pub type Edit = fn(&str, &Words) -> Option<String>;

/// Each file that names every service.
pub const EDITS: [(&str, Edit); 5] = [
    ("Cargo.toml", dependency),
    ("system/services.rs", blueprint),
    ("services/persist/src/migrate.rs", migration),
    ("compose.yaml", container),
    ("README.md", row),
];

/// The file with the service in it.
///
/// # Errors
/// The place for it is not found.
pub fn edit(path: &str, edit: Edit, text: &str, words: &Words) -> Result<String> {
    edit(text, words).with_context(|| {
        format!("{path} has no place where a service is added; xtask/src/scaffold says which")
    })
}

/// Among the dependencies of the `artel` binary, in their order.
fn dependency(text: &str, words: &Words) -> Option<String> {
    let line = format!("artel-{0} = {{ path = \"services/{0}\" }}", words.name);
    let dependencies = text.find("\n[dependencies]\n")?;
    let ours = |it: &str| it.starts_with("artel-");
    let lines = positions(text).skip_while(|(start, _)| *start <= dependencies);
    let ours: Vec<_> = lines.skip_while(|(_, it)| !ours(it)).take_while(|(_, it)| ours(it)).collect();
    let (last, last_line) = *ours.last()?;
    let next = ours.iter().find(|(_, it)| *it > line.as_str()).map(|(start, _)| *start);
    Some(insert(text, next.unwrap_or(last + last_line.len() + 1), &line))
}

/// At the end of the list of blueprints.
fn blueprint(text: &str, words: &Words) -> Option<String> {
    let line = format!("    \"{0}\": artel_{0}::service,", words.name);
    after_last(text, &line, |it| it.starts_with("    \"") && it.contains("\": artel_"))
}

/// The last of the migrations.
fn migration(text: &str, words: &Words) -> Option<String> {
    let file = |it: &str| it.contains("include_str!(\"../migrations/");
    let last = text.lines().rfind(|it| file(it))?;
    let number: u32 = last.trim().strip_prefix("(\"")?.get(..4)?.parse().ok()?;
    let name = format!("{:04}_{}", number + 1, words.name);
    let line = format!("    (\"{name}\", include_str!(\"../migrations/{name}.sql\")),");
    after_last(text, &line, file)
}

/// The number of the migration that comes next, as [`migration`] gives it.
pub fn next_migration(text: &str, words: &Words) -> Option<String> {
    let changed = migration(text, words)?;
    let end = format!("_{}\",", words.name);
    let line = changed.lines().find(|line| line.contains(&end))?;
    Some(line.trim().strip_prefix("(\"")?.get(..4)?.to_owned())
}

/// A container, before the gateway's, and its configuration.
fn container(text: &str, words: &Words) -> Option<String> {
    let name = &words.name;
    let container = format!(
        "  {name}:\n    <<: *service\n    command: [serve, {name}]\n    secrets:\n      - {{ source: {name}.toml, \
         target: artel.toml }}\n      - mesh.key\n"
    );
    let configuration =
        format!("  {name}.toml: {{ file: \"${{ARTEL_COMPOSE:-./.artel/compose}}/{name}.toml\" }}");
    let text = before(text, &container, |line| line == "  gateway:")?;
    before(&text, &configuration, |line| line.starts_with("  gateway.toml:"))
}

/// A row of the README's table.
fn row(text: &str, words: &Words) -> Option<String> {
    let Words { name, entities, .. } = words;
    let row =
        format!("| `{name}` | {entities} of people: made, listed, read | [docs](docs/services/{name}.md) |");
    before(text, &row, |line| line == "<!-- /services -->")
}

fn before(text: &str, lines: &str, at: impl Fn(&str) -> bool) -> Option<String> {
    let (start, _) = positions(text).find(|(_, line)| at(line))?;
    Some(insert(text, start, lines))
}

fn after_last(text: &str, lines: &str, at: impl Fn(&str) -> bool) -> Option<String> {
    let (start, line) = positions(text).filter(|(_, line)| at(line)).last()?;
    Some(insert(text, start + line.len() + 1, lines))
}

/// Each line and where it begins.
fn positions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split_inclusive('\n').scan(0, |start, line| {
        let here = *start;
        *start += line.len();
        Some((here, line.trim_end_matches('\n')))
    })
}

fn insert(text: &str, at: usize, lines: &str) -> String {
    let (before, after) = text.split_at(at.min(text.len()));
    format!("{before}{lines}\n{after}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artel;

    fn words() -> Words {
        Words { name: "xylophone".into(), entity: "mallet".into(), entities: "mallets".into() }
    }

    fn edited(path: &str) -> (String, String) {
        let before = std::fs::read_to_string(artel::root().join(path)).unwrap();
        let (_, how) = EDITS.into_iter().find(|(file, _)| *file == path).unwrap();
        let after = edit(path, how, &before, &words()).unwrap();
        (before, after)
    }

    #[test]
    fn each_place_takes_a_service_and_keeps_the_rest() {
        for (path, _) in EDITS {
            let (before, after) = edited(path);
            assert!(after.contains("xylophone"), "{path}");
            let mut kept = after.lines();
            assert!(before.lines().all(|line| kept.any(|it| it == line)), "{path} lost a line");
        }
    }

    #[test]
    fn a_dependency_stands_in_its_order() {
        let text =
            "[package]\n\n[dependencies]\nanyhow = \"1\"\nartel-order = 1\nartel-persist = 1\nbytes = 1\n";
        let with = |name: &str| {
            let words = Words { name: name.into(), ..words() };
            dependency(text, &words)
                .unwrap()
                .lines()
                .position(|line| line.contains(&format!("-{name} ")))
                .unwrap()
        };
        assert_eq!((with("audit"), with("pay"), with("xylophone")), (4, 5, 6));
    }

    #[test]
    fn the_next_migration_follows_the_last() {
        let text = "const X: &[(&str, &str)] = &[\n    (\"0041_a\", include_str!(\"../migrations/0041_a.sql\")),\n];\n";
        assert_eq!(next_migration(text, &words()).as_deref(), Some("0042"));
        let line = "    (\"0042_xylophone\", include_str!(\"../migrations/0042_xylophone.sql\")),\n];";
        assert!(migration(text, &words()).unwrap().contains(line));
        assert_eq!(migration("nothing", &words()), None);
    }

    #[test]
    fn the_container_is_like_the_others() {
        let (_, after) = edited("compose.yaml");
        let mut yaml: serde_norway::Value = serde_norway::from_str(&after).unwrap();
        yaml.apply_merge().unwrap();
        yaml.apply_merge().unwrap();
        let value = serde_json::to_value(yaml).unwrap();
        let (ours, order) = (&value["services"]["xylophone"], &value["services"]["order"]);
        assert_eq!(ours["command"], serde_json::json!(["serve", "xylophone"]));
        assert_eq!(
            (&ours["healthcheck"], &ours["depends_on"]),
            (&order["healthcheck"], &order["depends_on"])
        );
        let file = value["secrets"]["xylophone.toml"]["file"].as_str().unwrap();
        assert!(file.ends_with("/compose}/xylophone.toml"), "{file}");
        assert!(value["services"]["gateway"]["command"].is_array());
    }
}
