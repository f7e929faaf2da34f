//! `cargo xtask new service`, tried: a service is made in a copy of the project, and has to build, keep the rules and
//! pass its own tests against a real PostgreSQL.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Args, heading, on_own_components, show};
use crate::components::postgres;
use crate::install::{buf, on_path};
use crate::scaffold::{self, Words};
use crate::{artel, contracts};

/// No service will ever be called that.
const NAME: &str = "xylophone";
const ENTITY: &str = "mallet";

pub fn run(args: &Args) -> Result<()> {
    heading("a new service, in a copy of the project");
    let root = artel::root();
    let target = target(&root)?;
    // The same folder each time, beside what cargo built for it the last time.
    let copy = target.join("new-service");
    let mut changes = scaffold::service(&root, &Words::new(&root, NAME, ENTITY)?)?;
    for manifest in changes.iter_mut().filter(|change| change.path == Path::new("Cargo.toml")) {
        manifest.text = another_version(&manifest.text)?;
    }
    scaffold::copy(&root, &changes, &copy)?;
    // In the copy cargo works offline, so that the lock it completes there has our versions.
    show(artel::cargo().args(["fetch", "--quiet"]))?;

    on_own_components("new", args.keep, |session| {
        let context = &session.context;
        let buf = buf::ensure(&context.progress)?;
        show(&mut contracts::lint(&buf, &copy))?;
        let within = |mut command: Command| {
            command.env("CARGO_TARGET_DIR", &target).arg("--manifest-path").arg(copy.join("Cargo.toml"));
            command
        };
        let deny = ["--", "-D", "warnings"];
        let mut whole = artel::cargo();
        whole.args(["clippy", "--quiet", "--offline", "--no-deps", "--package", "artel", "--bin", "artel"]);
        show(within(whole).args(deny))?;
        let mut own = artel::cargo();
        own.args(["clippy", "--quiet", "--offline", "--no-deps", "--all-targets", "--package"]);
        own.arg(format!("artel-{NAME}"));
        show(within(own).args(deny))?;
        let step = context.progress.step("PostgreSQL", "starting");
        step.done(&postgres::start(context)?);
        show(within(tests()).env("ARTEL_TEST_POSTGRES", postgres::url(context, "postgres")?))
    })
}

/// The workspace's manifest with a version that tells the copy's crates from ours: cargo keeps them apart by name,
/// version and place below the workspace, and both are built in one target folder to share all that is not ours.
fn another_version(manifest: &str) -> Result<String> {
    let (before, package) = manifest.split_once("[workspace.package]\n").context("no [workspace.package]")?;
    let version = package.lines().find(|line| line.starts_with("version = ")).context("no version")?;
    Ok(format!("{before}[workspace.package]\n{}", package.replacen(version, "version = \"0.0.0-copy\"", 1)))
}

/// Where cargo builds.
fn target(root: &Path) -> Result<std::path::PathBuf> {
    let mut metadata = artel::cargo();
    metadata.args(["metadata", "--no-deps", "--format-version=1", "--offline"]).current_dir(root);
    let output = metadata.output().context("cannot run cargo")?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).context("cargo metadata")?;
    Ok(metadata["target_directory"].as_str().context("cargo has no target folder")?.into())
}

fn tests() -> Command {
    let mut command = artel::cargo();
    if on_path("cargo-nextest").is_some() {
        command.args(["nextest", "run"]);
    } else {
        command.args(["test", "--quiet"]);
    }
    command.args(["--offline", "--package", &format!("artel-{NAME}")]);
    command
}
