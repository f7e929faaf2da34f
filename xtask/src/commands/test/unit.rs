//! Each crate's own tests. Many want real components, which are started while the tests compile.

use std::process::Command;

use anyhow::Result;

use super::{Args, compose, heading, on_own_components, show};
use crate::commands::events;
use crate::install::{fluent, on_path};
use crate::{artel, components, environment};

pub fn run(args: &Args) -> Result<()> {
    heading("unit tests, against real components");
    on_own_components("unit", args.keep, |session| {
        let context = &session.context;
        let mut binary = None;
        components::start(context, || {
            show(command().arg("--no-run"))?;
            let step = context.progress.step("build", "cargo build --bin artel");
            let built = artel::build(&context.state.log("build"), false, &step)?;
            step.done(&built.display().to_string());
            binary = Some(built);
            Ok(())
        })?;
        if let Some(binary) = binary {
            compose::configuration(&binary)?;
            events::check(&binary)?;
            artel::configure(context)?;
            artel::start_mailbox(context, &binary)?;
        }
        let receiver = fluent::ensure(&context.progress)?;
        show(
            command()
                .args(super::filters(args))
                .envs(environment::variables(context)?)
                .envs(receiver.variables()),
        )
    })
}

fn command() -> Command {
    let mut command = artel::cargo();
    // The root package holds the tests of the whole mesh and nothing else.
    if on_path("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--workspace", "--exclude", "artel"]);
    } else {
        command.args(["test", "--quiet", "--workspace", "--exclude", "artel"]);
    }
    command
}
