use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::progress::Progress;
use crate::state::State;
use crate::{artel, files, install};

/// Where the catalogue is kept.
const PAGE: &str = "docs/events.md";
const HEAD: &str = "# Events

<!-- Written by `cargo xtask events` from the contracts and the services. Don't edit it: change those. -->

What the services tell each other, over RabbitMQ's topic exchange `artel.events` with the event's name as routing key.
An event leaves if and only if the transaction that caused it was committed. It comes at least once and takes effect
once: listeners commit what they do with its id as idempotency key. Events of one key come in their order.

An event is told by the service whose package declares it; `persist` refuses it from any other.

The same for tools, with schemas and AMQP's side of it: [asyncapi.json](asyncapi.json), served at `/asyncapi.json`.
";

/// Print the catalogue of events: who tells each and who listens; and write docs/events.md and docs/asyncapi.json
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask events            after a change of events or listeners\n  \
    cargo xtask events --check    fails where docs/events.md says something else")]
pub struct Args {
    /// Write nothing; fail where docs/events.md is not what would be written
    #[arg(long)]
    check: bool,
}

/// An event, as `artel events --json` has it.
#[derive(Debug, Deserialize)]
struct Event {
    name: String,
    message: String,
    description: String,
    key: String,
    publisher: String,
    listeners: Vec<String>,
    fields: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    description: String,
}

pub fn run(state: &State, args: &Args) -> Result<()> {
    let step = Progress::new().step("build", "cargo build --bin artel");
    let binary = artel::build(&state.log("build"), false, &step)?;
    step.done(&binary.display().to_string());
    if args.check {
        return check(&binary);
    }
    let events = read(&binary)?;
    say!("{}", table(&events));
    let (file, text) = (artel::root().join(PAGE), page(&events)?);
    if std::fs::read_to_string(&file).is_ok_and(|before| before == text) {
        say!("{PAGE} says the same.");
    } else {
        files::write_public(&file, &text)?;
        say!("{PAGE} is written.");
    }
    let docs = artel::root().join("docs").display().to_string();
    let written = install::output(&binary, &["docs", &docs])?;
    say!("{}", if written.trim().is_empty() { "docs/asyncapi.json says the same." } else { written.trim() });
    Ok(())
}

/// Fails where the page is not what the contracts and the services of this binary say.
pub fn check(binary: &Path) -> Result<()> {
    let written = std::fs::read_to_string(artel::root().join(PAGE)).unwrap_or_default();
    let text = page(&read(binary)?)?;
    if written != text {
        let (is, should): (Vec<&str>, Vec<&str>) = (written.lines().collect(), text.lines().collect());
        let same = is.iter().zip(&should).take_while(|(is, should)| is == should).count();
        bail!(
            "{PAGE} is not what the contracts and services say, in line {}:\n  is      {}\n  should  {}\n\
             `cargo xtask events` writes it anew",
            same + 1,
            is.get(same).unwrap_or(&"(its end)"),
            should.get(same).unwrap_or(&"(its end)")
        );
    }
    let docs = artel::root().join("docs").display().to_string();
    install::output(binary, &["docs", "--check", &docs])?;
    tell!("    {PAGE} is true, and so is docs/asyncapi.json");
    Ok(())
}

fn read(binary: &Path) -> Result<Vec<Event>> {
    let said = install::output(binary, &["events", "--json"])?;
    serde_json::from_str(&said)
        .with_context(|| format!("cannot read what `artel events --json` says:\n{said}"))
}

/// For a terminal.
fn table(events: &[Event]) -> String {
    let width = |of: fn(&Event) -> usize| events.iter().map(of).max().unwrap_or_default();
    let (name, publisher) = (width(|it| it.name.len()), width(|it| it.publisher.len()));
    let message = width(|it| it.message.len());
    events.iter().fold(String::new(), |mut table, event| {
        let Event { name: n, publisher: p, message: m, key, .. } = event;
        let listeners = listeners(event, ", ", "");
        let _ = writeln!(table, "{n:name$}  {p:>publisher$} → {listeners:<16}  {m:message$}  {key}");
        table
    })
}

/// For docs/.
fn page(events: &[Event]) -> Result<String> {
    let mut page = HEAD.to_owned();
    page.push_str("\n| event | told by | heard by |\n|---|---|---|\n");
    for event in events {
        let anchor = event.name.replace('.', "");
        let heard = listeners(event, ", ", "`");
        writeln!(page, "| [`{}`](#{anchor}) | `{}` | {heard} |", event.name, event.publisher)?;
    }
    for event in events {
        writeln!(page, "\n## `{}`\n\n{}\n", event.name, event.description)?;
        writeln!(
            page,
            "Told by `{}`, heard by {}. Message `{}`, in order for each `{}`.\n",
            event.publisher,
            listeners(event, " and ", "`"),
            event.message,
            event.key
        )?;
        page.push_str("| field | type | |\n|---|---|---|\n");
        for field in &event.fields {
            let description = field.description.replace('\n', " ").replace('|', "\\|");
            writeln!(page, "| `{}` | `{}` | {description} |", field.name, field.kind)?;
        }
    }
    Ok(page)
}

fn listeners(event: &Event, between: &str, quote: &str) -> String {
    let names: Vec<String> = event.listeners.iter().map(|name| format!("{quote}{name}{quote}")).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(between) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events() -> Vec<Event> {
        serde_json::from_str(
            r#"[{"name": "order.placed", "message": "artel.order.v1.OrderPlaced", "description": "Placed.",
                 "key": "order_id", "publisher": "order", "listeners": ["loyalty", "notify"],
                 "fields": [{"name": "order_id", "type": "string", "description": "Which,\none|other."}]},
                {"name": "user.registered", "message": "artel.identity.v1.UserRegistered", "description": "New.",
                 "key": "user_id", "publisher": "identity", "listeners": [], "fields": []}]"#,
        )
        .unwrap()
    }

    #[test]
    fn the_page_says_who_tells_and_who_hears() {
        let page = page(&events()).unwrap();
        for line in [
            "| [`order.placed`](#orderplaced) | `order` | `loyalty`, `notify` |",
            "Told by `order`, heard by `loyalty` and `notify`. Message `artel.order.v1.OrderPlaced`, in order for each \
             `order_id`.",
            "| `order_id` | `string` | Which, one\\|other. |",
            "| [`user.registered`](#userregistered) | `identity` | nobody |",
        ] {
            assert!(page.lines().any(|it| it == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_terminal_gets_columns() {
        let table = table(&events());
        let arrows: Vec<_> = table.lines().map(|line| line.chars().position(|it| it == '→')).collect();
        assert!(arrows.len() == 2 && arrows[0].is_some() && arrows[0] == arrows[1], "{table}");
    }
}
