use anyhow::Result;
use clap::Subcommand;

use crate::artel;
use crate::scaffold::{self, Change, Words};

/// Make something new, of the shape that all others have
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask new service review                     reviews, kept by `review`\n  \
    cargo xtask new service support --entity ticket    tickets, kept by `support`\n  \
    cargo xtask new service review --dry-run           only says what would be written")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Service(Service),
}

/// A service: contract, table, code, tests, and its place in the mesh
#[derive(clap::Args)]
#[command(after_help = "Example: cargo xtask new service support --entity ticket")]
struct Service {
    /// Its name: 2 to 20 lower-case letters
    name: String,
    /// What it keeps, in the singular [default: its name]
    #[arg(long, value_name = "WORD")]
    entity: Option<String>,
    /// Write nothing; say what would be written
    #[arg(long)]
    dry_run: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let What::Service(Service { name, entity, dry_run }) = &args.what;
    let root = artel::root();
    let words = Words::new(&root, name, entity.as_deref().unwrap_or(name))?;
    let changes = scaffold::service(&root, &words)?;
    if *dry_run {
        say!("This would be written:\n\n{}", list(&changes));
        return Ok(());
    }
    scaffold::write(&root, &changes)?;
    let Words { entities, .. } = &words;
    say!("{}", list(&changes));
    say!(
        "\nIt keeps {entities} of people and has tests. Now:

  cargo xtask up                     it registers, and /api/v1/{entities} is there
  cargo run -- docs                  its page, into docs/services
  cargo xtask events                 its event, into docs/events.md
  INSTA_UPDATE=always cargo test -p artel-gateway route_table
                                     its routes, into the gateway's snapshot
  cargo xtask test --only contracts --only unit

Then make it what it is to be: proto/artel/{name}/v1 and the migration (as long as it has run nowhere), the rules in
services/{name}/src/domain.rs, and its row in README.md."
    );
    Ok(())
}

fn list(changes: &[Change]) -> String {
    let line = |change: &Change| {
        let (sign, before) = match &change.before {
            None => ("new   ", 0),
            Some(before) => ("change", before.lines().count()),
        };
        format!("  {sign}  {} (+{})", change.path.display(), change.text.lines().count() - before)
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}
