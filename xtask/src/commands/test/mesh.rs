//! The tests of the whole mesh: a process a service, behind Envoy.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::Result;

use super::{Args, heading, on_own_components, show};
use crate::artel;
use crate::commands::up::{self, Artel};
use crate::environment;
use crate::install::on_path;
use crate::mesh::Shape;

pub fn run(args: &Args) -> Result<()> {
    heading("the tests of the whole mesh: building them");
    show(command().arg("--no-run"))?;
    heading("the whole mesh: starting");
    on_own_components("mesh", args.keep, |session| {
        // Nobody listens there yet: the test of the traces will.
        session.context.collector = Some(session.context.ports.get("otlp"));
        let context = &session.context;
        let shape = Shape { split: true, scale: BTreeMap::new() };
        let mesh = up::start(context, &shape, Artel::Build { release: false })?;
        up::demo(context, &mesh.artel)?;
        heading("the whole mesh: testing");
        let mut command = command();
        command
            .args(super::filters(args))
            .env("ARTEL_ENDPOINTS", context.state.endpoints())
            .env("ARTEL_CONFIG", context.state.artel_toml())
            .envs(environment::variables(context)?);
        show(&mut command)
    })
}

fn command() -> Command {
    let mut command = artel::cargo();
    if on_path("cargo-nextest").is_some() {
        // .config/nextest.toml runs them one by one: they share one mesh, and some break it on purpose.
        command.args(["nextest", "run", "--profile", "mesh", "--package", "artel", "--test", "mesh"]);
    } else {
        command.args(["test", "--package", "artel", "--test", "mesh"]);
    }
    command
}
