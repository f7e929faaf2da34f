//! `artel audit`: an operator has the change log checked against its seals.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use artel_proto::persist::persist_service_client::PersistServiceClient;
use artel_proto::persist::{Finding, VerifyRequest, VerifyResponse};
use artel_util::time;
use clap::Subcommand;
use indicatif::{ProgressBar, ProgressStyle};

use crate::operator::Operator;
use crate::role::said;

/// What is done about the change log.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Check that no row was altered, removed or inserted since it was sealed
    #[command(
        after_help = "Ends with 0 where all holds, with 3 where something does not, and with 1 where that could not be \
        found out.\n\nExamples:\n  artel audit verify\n  \
        artel audit verify --after 120:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    )]
    Verify(Verify),
}

/// Which log, and from where.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The workspace [default: the mesh's own]
    #[arg(long, value_name = "UUID")]
    workspace: Option<String>,
    /// Begin behind this seal: its number and digest, as an earlier run printed them
    #[arg(long, value_name = "NUMBER:DIGEST", value_parser = seal)]
    after: Option<Seal>,
}

/// What the process ends with where something does not hold: another number than for all that may go wrong.
const BROKEN: u8 = 3;

/// A seal that was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seal {
    number: i64,
    digest: Vec<u8>,
}

/// Does it in the mesh that the endpoints file names, and says whether all holds.
///
/// # Errors
/// Where the mesh is not found or refuses.
pub(crate) async fn run(action: Action, endpoints: &Path) -> anyhow::Result<ExitCode> {
    let Action::Verify(Verify { workspace, after }) = action;
    let operator = Operator::connect(endpoints)?;
    let mut call = operator.call.clone();
    if let Some(workspace) = workspace {
        call.workspace = workspace;
    }
    let after = after.unwrap_or(Seal { number: 0, digest: Vec::new() });
    let request = VerifyRequest { after_seal: after.number, after_digest: after.digest.into() };
    let mut persist = PersistServiceClient::new(operator.channels.to("persist"));
    let mut messages = persist.verify(call.request(request)).await.map_err(said)?.into_inner();
    let bar = bar();
    while let Some(message) = messages.message().await.map_err(said)? {
        bar.set_position(u64::try_from(message.rows).unwrap_or_default());
        if message.done {
            bar.finish_and_clear();
            return match &message.finding {
                Some(finding) => {
                    eprintln!("The change log does not hold: {}", told(finding));
                    Ok(ExitCode::from(BROKEN))
                }
                None => {
                    println!("{}", verdict(&message)?);
                    Ok(ExitCode::SUCCESS)
                }
            };
        }
    }
    bail!("persist stopped before the end; try again")
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {pos} rows hold  {per_sec}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn told(finding: &Finding) -> String {
    match finding.id.as_str() {
        "" => finding.description.clone(),
        id => format!("{} ({} {id})", finding.description, finding.entity),
    }
}

fn verdict(last: &VerifyResponse) -> anyhow::Result<String> {
    if last.seal == 0 {
        return Ok(format!("Nothing is sealed yet; {} rows wait for it.", last.unsealed));
    }
    let sealed = last.time.as_ref().and_then(time::to_chrono).context("the last seal says no time")?;
    Ok(format!(
        "All holds: {} rows checked, {} not sealed yet.\n\
         The last seal is of {}, signed with {}.\n\
         Keep this elsewhere: it shows later that nothing up to here was replaced.\n  {}:{}",
        last.rows,
        last.unsealed,
        sealed.to_rfc3339(),
        hex(&last.public_key),
        last.seal,
        hex(&last.digest)
    ))
}

fn seal(text: &str) -> Result<Seal, String> {
    let parse = || {
        let (number, digest) = text.split_once(':')?;
        let pairs = digest.as_bytes().chunks(2);
        let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let digest = pairs.map(byte).collect::<Option<Vec<u8>>>()?;
        let number = number.parse().ok().filter(|number| *number > 0)?;
        (digest.len() == 32).then_some(Seal { number, digest })
    };
    parse()
        .ok_or_else(|| "must be a seal's number and its digest of 64 hex digits, with `:` between".to_owned())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_read_as_it_is_printed() {
        let last = VerifyResponse {
            seal: 12,
            digest: vec![0xab; 32].into(),
            public_key: vec![1; 32].into(),
            time: Some(time::from_chrono(chrono::Utc::now())),
            rows: 7,
            ..VerifyResponse::default()
        };
        let text = verdict(&last).unwrap();
        assert!(text.starts_with("All holds: 7 rows checked, 0 not sealed yet."), "{text}");
        let printed = text.lines().last().unwrap().trim();
        assert_eq!(seal(printed), Ok(Seal { number: 12, digest: vec![0xab; 32] }));
        let digest = "ab".repeat(32);
        let wrong = [
            String::new(),
            digest.clone(),
            format!("0:{digest}"),
            format!("-1:{digest}"),
            format!("1:{}", &digest[2..]),
            format!("1:{digest}0"),
            format!("1:{}", "é".repeat(32)),
            format!("x:{digest}"),
        ];
        for wrong in wrong {
            assert!(seal(&wrong).is_err(), "{wrong}");
        }
    }
}
