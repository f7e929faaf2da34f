use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// Where everything is.
#[derive(Debug, Clone, Deserialize)]
pub struct Places {
    pub api: String,
    pub bank: String,
    pub printer: String,
    pub sms: String,
}

impl Places {
    pub fn read(endpoints: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(endpoints).with_context(|| {
            format!("no mesh is found: cannot read {}. Start one with `cargo xtask up`", endpoints.display())
        })?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `cargo xtask up` writes", endpoints.display()))
    }
}

/// The operator's commands.
#[derive(Debug, Clone)]
pub struct Operator {
    artel: PathBuf,
    endpoints: PathBuf,
}

impl Operator {
    pub fn new(artel: PathBuf, endpoints: &Path) -> Self {
        Self { artel, endpoints: endpoints.to_owned() }
    }

    /// What the command says, and whether it ended well.
    pub async fn ask(&self, args: &[&str]) -> anyhow::Result<(String, bool)> {
        let ran = tokio::process::Command::new(&self.artel)
            .args(args)
            .env("ARTEL_ENDPOINTS", &self.endpoints)
            .stdin(Stdio::null())
            .output()
            .await
            .with_context(|| format!("cannot run {}", self.artel.display()))?;
        let said =
            [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Ok((said, ran.status.success()))
    }

    pub async fn run(&self, args: &[&str]) -> anyhow::Result<String> {
        match self.ask(args).await? {
            (said, true) => Ok(said),
            (said, false) => bail!("`artel {}` failed: {said}", args.join(" ")),
        }
    }
}
